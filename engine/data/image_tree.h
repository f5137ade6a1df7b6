// SPDX-License-Identifier: Apache-2.0
// Which files of a folder, or of an archive, are the images of a data set, and of which classes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/data/file_tree.h"
#include "engine/data/load_dataset.h"

namespace ito {

struct ImageTree {
  std::vector<std::string> images;  // paths, class by class, sorted by bytes within each
  std::vector<int32_t> labels;      // empty without classes
  std::vector<std::string> class_names;
};

// Images directly in the folder have no classes. Otherwise each sub-folder is a class, in byte order of the names, with
// the images at any depth below it. A sub-folder `train` beside `test` or `val` (or their longer names) is the training
// split, and only one of them is looked into. Hidden files are passed over; so are other files, with a warning.
// UserError where images would be lost or counted as another class than their owner means.
ImageTree find_images(const FileTree& files, const std::string& folder, Split split);
ImageTree find_images(const std::string& folder, Split split);  // of the disk

// Whether a file with this extension (".png") is an image that is read.
bool is_read(const std::string& extension);

}  // namespace ito
