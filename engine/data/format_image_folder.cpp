// SPDX-License-Identifier: Apache-2.0
// A folder of PNG and JPEG images: image_tree.h, or a dataset.json in it, says which files of it; read_images.h reads
// them.
#include <filesystem>

#include "engine/data/archive_images.h"
#include "engine/data/image_tree.h"
#include "engine/data/read_images.h"

namespace ito {
namespace {

bool is_image_folder(const std::string& what) {
  std::error_code ignored;
  return std::filesystem::is_directory(what, ignored);
}

Dataset load_image_folder(const std::string& what, const LoadOptions& options) {
  if (has_dataset_json(what)) return load_with_dataset_json(what, options);
  ImageTree tree = find_images(what, options.split);
  Dataset data;
  data.name = what;
  data.labels = std::move(tree.labels);
  data.class_names = std::move(tree.class_names);
  read_images(image_files(what, std::move(tree.images)), options, data);
  return data;
}

}  // namespace

extern const DatasetFormat kImageFolderFormat;
const DatasetFormat kImageFolderFormat = {"a folder of PNG or JPEG images", is_image_folder, load_image_folder};

}  // namespace ito
