// SPDX-License-Identifier: Apache-2.0
// A folder of PNG and JPEG images: image_tree.h says which files of it, read_images.h reads them.
#include <filesystem>

#include "engine/data/image_tree.h"
#include "engine/data/read_images.h"

namespace ito {
namespace {

bool recognises(const std::string& what) {
  std::error_code ignored;
  return std::filesystem::is_directory(what, ignored);
}

Dataset load(const std::string& what, const LoadOptions& options) {
  ImageTree tree = find_images(what, options.split);
  Dataset data;
  data.name = what;
  read_images(tree.images, options, data);
  data.labels = std::move(tree.labels);
  data.class_names = std::move(tree.class_names);
  return data;
}

}  // namespace

extern const DatasetFormat kImageFolderFormat;
const DatasetFormat kImageFolderFormat = {"a folder of PNG or JPEG images", recognises, load};

}  // namespace ito
