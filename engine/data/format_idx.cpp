// SPDX-License-Identifier: Apache-2.0
// IDX data sets: MNIST and its relatives. The labels of X-images-idx3-ubyte are in X-labels-idx1-ubyte beside it.
#include "engine/data/format_idx.h"

#include <filesystem>
#include <limits>

#include "engine/io/idx.h"
#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace fs = std::filesystem;
namespace {

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// The labels' path by the usual name, or "" if the name is not the usual one or no such file is there.
std::string find_labels(const std::string& images_path) {
  const fs::path path(images_path);
  std::string name = path.filename().string();
  const size_t word = name.find("images");
  if (word == std::string::npos) return "";
  name.replace(word, 6, "labels");
  for (const char* dimensions : {"idx3", "idx4"})
    if (const size_t at = name.find(dimensions); at != std::string::npos) name.replace(at, 4, "idx1");
  if (name.size() > 3 && name.ends_with(".gz")) name.resize(name.size() - 3);
  for (const char* suffix : {"", ".gz"})
    if (const std::string found = (path.parent_path() / (name + suffix)).string(); is_file(found)) return found;
  return "";
}

bool recognises(const std::string& what) {
  if (is_folder(what))
    return !find_idx_images(what, Split::Train).empty() || !find_idx_images(what, Split::Test).empty();
  return is_file(what) && is_idx_file(what);
}

Dataset load(const std::string& what, const LoadOptions& options) {
  if (!is_folder(what)) return load_idx_images(what, options);
  const std::string images = find_idx_images(what, options.split);
  ITO_USER_CHECK(!images.empty(), what, ": has no ",
                 options.split == Split::Train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte", " (nor .gz)");
  return load_idx_images(images, options);
}

}  // namespace

std::string find_idx_images(const std::string& folder, Split split) {
  for (const char* dimensions : {"idx3", "idx4"})
    for (const char* suffix : {"", ".gz"}) {
      const std::string name =
          std::string(split == Split::Train ? "train" : "t10k") + "-images-" + dimensions + "-ubyte";
      const std::string path = (fs::path(folder) / (name + suffix)).string();
      if (is_file(path)) return path;
    }
  return "";
}

Dataset load_idx_images(const std::string& images_path, const LoadOptions& options) {
  IdxArray images = read_idx(images_path);
  const std::vector<int64_t>& shape = images.shape;
  ITO_USER_CHECK(shape.size() >= 3, images_path, ": has one dimension, so it holds labels; give the images file");
  Dataset data;
  data.name = images_path;
  data.channels = 1;
  if (shape.size() == 4) {
    ITO_USER_CHECK(shape[3] == 1 || shape[3] == 3, images_path, ": its last dimension is ", shape[3],
                   "; 1 or 3 channels are expected there");
    data.channels = static_cast<int>(shape[3]);
  }
  for (const int64_t dimension : shape)
    ITO_USER_CHECK(dimension <= std::numeric_limits<int>::max(), images_path, ": dimension ", dimension,
                   " is too large");
  data.count = static_cast<int>(shape[0]);
  data.height = static_cast<int>(shape[1]);
  data.width = static_cast<int>(shape[2]);
  data.pixels = std::move(images.values);

  if (const std::string labels_path = find_labels(images_path); !labels_path.empty()) {
    const IdxArray labels = read_idx(labels_path);
    ITO_USER_CHECK(labels.shape.size() == 1 && labels.shape[0] == data.count, labels_path, ": holds ",
                   labels.values.size(), " labels in ", labels.shape.size(), " dimensions; ", images_path, " has ",
                   data.count, " images");
    data.labels.assign(labels.values.begin(), labels.values.end());
  }
  fit_to_options(data, options);
  return data;
}

extern const DatasetFormat kIdxFormat;
const DatasetFormat kIdxFormat = {"an IDX file of images or a folder of them", recognises, load};

}  // namespace ito
