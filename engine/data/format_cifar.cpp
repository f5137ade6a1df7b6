// SPDX-License-Identifier: Apache-2.0
// CIFAR-10 and CIFAR-100, binary version: the folder that their archive unpacks to (data_batch_1.bin to
// data_batch_5.bin and test_batch.bin; train.bin and test.bin), the folder around it, or one .bin file. The versions
// for Python and MATLAB are recognised too, to be refused by name.
#include <algorithm>
#include <filesystem>

#include "engine/data/file_tree.h"
#include "engine/data/load_dataset.h"
#include "engine/io/cifar.h"
#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFineNames = "fine_label_names.txt";

bool holds_records(const fs::path& path, const CifarKind& kind) {
  if (!is_file(path)) return false;
  const uint64_t size = InputFile(path.string()).size();
  return size > 0 && size % static_cast<uint64_t>(kind.record()) == 0;
}

struct CifarFiles {
  CifarKind kind = kCifar10;
  std::vector<std::string> paths;  // sorted; empty: not there
};

CifarFiles files_of(const fs::path& folder, Split split) {
  CifarFiles found;
  std::error_code ignored;
  for (const auto& item : fs::directory_iterator(folder, ignored)) {
    const std::string name = item.path().filename().string();
    const bool train = name.starts_with("data_batch_") && name.ends_with(".bin");
    if (split == Split::Train ? train : name == "test_batch.bin") found.paths.push_back(item.path().string());
  }
  std::sort(found.paths.begin(), found.paths.end());
  // Other programs call their files train.bin too.
  const fs::path file = folder / (split == Split::Train ? "train.bin" : "test.bin");
  if (found.paths.empty() && is_file(file) && (is_file(folder / kFineNames) || holds_records(file, kCifar100)))
    found = {kCifar100, {file.string()}};
  return found;
}

bool holds_images(const fs::path& folder) {
  return !files_of(folder, Split::Train).paths.empty() || !files_of(folder, Split::Test).paths.empty();
}
// Of another version of the data sets.
bool holds_other_version(const fs::path& folder) {
  return (is_file(folder / "data_batch_1") && is_file(folder / "batches.meta")) ||
         (is_file(folder / "train") && is_file(folder / "meta")) || is_file(folder / "data_batch_1.mat") ||
         (is_file(folder / "train.mat") && is_file(folder / "meta.mat"));
}

// The folder of the files: the given one, or the one that an archive unpacks to in it; "" if neither is one.
fs::path cifar_folder(const fs::path& given) {
  std::vector<fs::path> candidates{given};
  for (const char* name : {"cifar-10-batches-bin", "cifar-100-binary", "cifar-10-batches-py", "cifar-100-python",
                           "cifar-10-batches-mat", "cifar-100-matlab"})
    candidates.push_back(given / name);
  for (const fs::path& candidate : candidates)
    if (is_folder(candidate) && (holds_images(candidate) || holds_other_version(candidate))) return candidate;
  return {};
}

bool is_cifar(const std::string& what) {
  if (is_folder(what)) return !cifar_folder(what).empty();
  return is_file(what) && what.ends_with(".bin");
}

// The lines of fine_label_names.txt beside the images; none if it is not there.
std::vector<std::string> fine_names(const fs::path& folder) {
  std::vector<std::string> names;
  if (!is_file(folder / kFineNames)) return names;
  const std::vector<uint8_t> bytes = read_whole_file((folder / kFineNames).string(), 1 << 16);
  std::string line;
  for (const uint8_t byte : bytes) {
    if (byte != '\n') {
      if (byte != '\r') line += static_cast<char>(byte);
      continue;
    }
    if (!line.empty()) names.push_back(line);
    line.clear();
  }
  if (!line.empty()) names.push_back(line);
  return names.size() == kCifar100.classes ? names : std::vector<std::string>{};
}

CifarFiles files_of(const std::string& what, Split split) {
  if (!is_folder(what))
    return {!holds_records(what, kCifar10) && holds_records(what, kCifar100) ? kCifar100 : kCifar10, {what}};
  const fs::path folder = cifar_folder(what);
  ITO_USER_CHECK(holds_images(folder), folder.string(),
                 ": is a version of CIFAR for Python or MATLAB, of which the former can run code when it is read; get "
                 "the binary version (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz)");
  const CifarFiles files = files_of(folder, split);
  const bool train = split == Split::Train;
  ITO_USER_CHECK(!files.paths.empty(), folder.string(), ": has no ",
                 train ? "data_batch_1.bin to data_batch_5.bin" : "test_batch.bin", " (CIFAR-10) and no ",
                 train ? "train.bin" : "test.bin", " (CIFAR-100)");
  return files;
}

Dataset load_cifar(const std::string& what, const LoadOptions& options) {
  const CifarFiles files = files_of(what, options.split);
  CifarImages images;
  for (const std::string& path : files.paths) read_cifar_file(path, files.kind, images);
  Dataset data;
  data.name = what;
  data.count = static_cast<int>(images.labels.size());
  data.height = data.width = kCifarSize;
  data.channels = kCifarChannels;
  data.pixels = std::move(images.pixels);
  data.labels = std::move(images.labels);
  data.class_names = files.kind.classes == kCifar10.classes ? cifar10_class_names()
                                                            : fine_names(fs::path(files.paths.front()).parent_path());
  fit_to_options(data, options);
  return data;
}

}  // namespace

extern const DatasetFormat kCifarFormat;
const DatasetFormat kCifarFormat = {"the binary folder or a .bin file of CIFAR-10 or CIFAR-100", is_cifar, load_cifar};

}  // namespace ito
