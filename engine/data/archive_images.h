// SPDX-License-Identifier: Apache-2.0
// Which files of one or several archives are a data set's images, and of which classes:
//   - `dataset.json` beside them, as EDM's tools write it: {"labels": [["00000/img00000000.png", 6], ...]} or null
//   - WebDataset's samples: NAME.jpg (or .jpeg, .png) beside NAME.cls, a number, or NAME.json with a whole "label"; in
//   the order of the archives
//   - else what a folder of these files would be (image_tree.h)
#pragma once
#include <memory>
#include <string>

#include "engine/data/encoded_images.h"
#include "engine/data/load_dataset.h"

namespace ito {

// All files of the archives: `members` names them (listed_name) and reads them, images or not. what: what the user
// named, before the names in messages. web_dataset: whether those samples are looked for.
Dataset load_archive(const std::string& what, std::shared_ptr<const EncodedImages> members, bool web_dataset,
                     const LoadOptions& options);

// Whether a folder of the disk has a dataset.json with "labels"; and its data set.
bool has_dataset_json(const std::string& folder);
Dataset load_with_dataset_json(const std::string& folder, const LoadOptions& options);

}  // namespace ito
