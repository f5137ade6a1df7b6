// SPDX-License-Identifier: Apache-2.0
// What Fashion-MNIST's loader shares with the IDX format: a folder of four files under their usual names.
#pragma once

#include <string>

#include "engine/data/load_dataset.h"

namespace ito {

// The images file of a split in a folder, or "". Names are those of the data sets' sites and of the archives they are
// passed on in: train-images-idx3-ubyte, t10k-images.idx3-ubyte, emnist-letters-test-images-idx3-ubyte.gz, ...
// UserError if the folder holds several sets.
std::string find_idx_images(const std::string& folder, Split split);

// Images and, if the file is there, the labels beside them.
Dataset load_idx_images(const std::string& images_path, const LoadOptions& options);

}  // namespace ito
