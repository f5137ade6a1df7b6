// SPDX-License-Identifier: Apache-2.0
// IDX data sets: MNIST and its relatives. The labels of X-images-idx3-ubyte are in X-labels-idx1-ubyte beside it.
#include "engine/data/format_idx.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>

#include "engine/data/file_tree.h"
#include "engine/io/idx.h"
#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

std::string without_gz(std::string name) {
  if (name.size() > 3 && name.ends_with(".gz")) name.resize(name.size() - 3);
  return name;
}

// "emnist-letters-train" of emnist-letters-train-images-idx3-ubyte.gz; "" if the name is not of that form. The mark
// between the words is a dash, or the dot that some archives have.
std::string set_of_images(const std::string& file_name) {
  const std::string name = without_gz(file_name);
  for (const char* end : {"-images-idx3-ubyte", "-images.idx3-ubyte", "-images-idx4-ubyte", "-images.idx4-ubyte"})
    if (name.ends_with(end)) return name.substr(0, name.size() - std::char_traits<char>::length(end));
  return "";
}

bool is_of_split(const std::string& set, Split split) {
  if (split == Split::Train) return set.ends_with("train");
  return set.ends_with("t10k") || set.ends_with("test");
}

// The labels' path by the usual name, or "" if the name is not the usual one or no such file is there.
std::string find_labels(const std::string& images_path) {
  const fs::path path(images_path);
  const std::string name = without_gz(path.filename().string());
  const size_t word = name.rfind("images");
  if (word == std::string::npos) return "";
  std::vector<std::string> names;
  if (const std::string set = set_of_images(name); !set.empty())
    for (const char* end : {"-labels-idx1-ubyte", "-labels.idx1-ubyte", "-labels-idx2-int"}) names.push_back(set + end);
  else
    names.push_back(name.substr(0, word) + "labels" + name.substr(word + 6));
  for (const std::string& labels : names)
    for (const char* suffix : {"", ".gz"})
      if (const std::string found = (path.parent_path() / (labels + suffix)).string(); is_file(found)) return found;
  return "";
}

// Where in a folder the files are: in it, or where archives and other libraries put them below it.
std::string idx_folder(const std::string& folder) {
  const auto holds = [](const fs::path& path) {
    return !find_idx_images(path.string(), Split::Train).empty() ||
           !find_idx_images(path.string(), Split::Test).empty();
  };
  if (!is_folder(folder)) return "";
  if (holds(folder)) return folder;
  std::vector<fs::path> candidates{fs::path(folder) / "raw", fs::path(folder) / "gzip"};
  for (const char* name : {"MNIST", "FashionMNIST", "KMNIST", "EMNIST", "QMNIST"})
    candidates.push_back(fs::path(folder) / name / "raw");
  std::string found;
  for (const fs::path& candidate : candidates) {
    if (!is_folder(candidate.string()) || !holds(candidate)) continue;
    ITO_USER_CHECK(found.empty(), folder, ": holds several data sets, ", found, " and ", candidate.string(),
                   "; give one of those folders");
    found = candidate.string();
  }
  return found;
}

bool is_idx(const std::string& what) {
  return is_folder(what) ? !idx_folder(what).empty() : is_file(what) && is_idx_file(what);
}

Dataset load_idx(const std::string& what, const LoadOptions& options) {
  if (!is_folder(what)) return load_idx_images(what, options);
  const std::string folder = idx_folder(what), images = find_idx_images(folder, options.split);
  ITO_USER_CHECK(!images.empty(), folder, ": has no ",
                 options.split == Split::Train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte", " (nor .gz)");
  return load_idx_images(images, options);
}

void read_labels(const std::string& labels_path, const std::string& images_path, Dataset& data) {
  const std::vector<int64_t> labels = read_idx_labels(labels_path);
  ITO_USER_CHECK(labels.size() == static_cast<size_t>(data.count), labels_path, ": holds ", labels.size(), " labels; ",
                 images_path, " has ", data.count, " images");
  for (const int64_t label : labels) {
    ITO_USER_CHECK(label >= 0 && label < std::numeric_limits<int32_t>::max(), labels_path, ": holds the label ", label,
                   ", which is not a class (0, 1, 2, ...)");
    data.labels.push_back(static_cast<int32_t>(label));
  }
}

}  // namespace

std::string find_idx_images(const std::string& folder, Split split) {
  std::map<std::string, std::vector<std::string>> sets;  // the files of each
  std::error_code ignored;
  for (const auto& item : fs::directory_iterator(folder, ignored)) {
    const std::string set = set_of_images(item.path().filename().string());
    if (!set.empty() && is_of_split(set, split) && is_file(item.path().string()))
      sets[set].push_back(item.path().string());
  }
  if (sets.empty()) return "";
  const std::string first = *std::min_element(sets.begin()->second.begin(), sets.begin()->second.end());
  ITO_USER_CHECK(sets.size() == 1, folder, ": holds several sets of images, ", sets.begin()->first, " and ",
                 std::next(sets.begin())->first, "; give the path of one, such as ", first);
  return first;  // the plain file goes before the packed one
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
  if (const std::string labels_path = find_labels(images_path); !labels_path.empty())
    read_labels(labels_path, images_path, data);
  if (fs::path(images_path).filename().string().starts_with("emnist"))
    warn(images_path, ": EMNIST stores rows and columns exchanged; the images are taken as they are stored");
  fit_to_options(data, options);
  return data;
}

extern const DatasetFormat kIdxFormat;
const DatasetFormat kIdxFormat = {"an IDX file of images or a folder of them", is_idx, load_idx};

}  // namespace ito
