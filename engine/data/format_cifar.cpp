// SPDX-License-Identifier: Apache-2.0
// CIFAR-10, binary version: a folder with data_batch_1.bin to data_batch_5.bin and test_batch.bin, or one .bin file.
#include <algorithm>
#include <filesystem>

#include "engine/data/load_dataset.h"
#include "engine/io/cifar.h"
#include "kernels/error.h"

namespace ito {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> batch_files(const std::string& folder, Split split) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& item : fs::directory_iterator(folder, ignored)) {
    const std::string name = item.path().filename().string();
    const bool train = name.starts_with("data_batch_") && name.ends_with(".bin");
    if (split == Split::Train ? train : name == "test_batch.bin") found.push_back(item.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

bool recognises(const std::string& what) {
  std::error_code ignored;
  if (fs::is_directory(what, ignored))
    return !batch_files(what, Split::Train).empty() || !batch_files(what, Split::Test).empty();
  return fs::is_regular_file(what, ignored) && what.ends_with(".bin");
}

Dataset load(const std::string& what, const LoadOptions& options) {
  std::vector<std::string> files = {what};
  std::error_code ignored;
  if (fs::is_directory(what, ignored)) {
    files = batch_files(what, options.split);
    ITO_USER_CHECK(!files.empty(), what, ": has no ",
                   options.split == Split::Train ? "data_batch_1.bin to data_batch_5.bin" : "test_batch.bin");
  }
  CifarImages images;
  for (const std::string& file : files) read_cifar_file(file, images);
  Dataset data;
  data.name = what;
  data.count = static_cast<int>(images.labels.size());
  data.height = data.width = kCifarSize;
  data.channels = kCifarChannels;
  data.pixels = std::move(images.pixels);
  data.labels = std::move(images.labels);
  data.class_names = cifar_class_names();
  fit_to_options(data, options);
  return data;
}

}  // namespace

extern const DatasetFormat kCifarFormat;
const DatasetFormat kCifarFormat = {"CIFAR-10's binary folder or .bin file", recognises, load};

}  // namespace ito
