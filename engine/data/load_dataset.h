// SPDX-License-Identifier: Apache-2.0
// From what the user names to a Dataset: `fashion-mnist`, or the path of
//   - a folder of PNG or JPEG images; sub-folders are classes, in sorted order; `train` and `test` sub-folders are
//   splits
//   - an IDX file (MNIST and relatives, .gz or plain) with its labels beside it, or a folder of such files
//   - CIFAR-10's binary version: its folder, or one .bin file
//   - a safetensors file: `samples` (N, C, H, W), F32 in [-1, 1] or U8, and optionally `labels` (N)
// Each format is one file, format_<name>.cpp, which fills in a DatasetFormat; load_dataset.cpp lists them.
#pragma once
#include <string>

#include "engine/data/dataset.h"

namespace ito {

enum class Split { Train, Test };

struct LoadOptions {
  int resolution = 0;  // side of the square images; 0: as they are
  int channels = 0;    // 1 or 3; 0: as they are
  // A path that has no splits (a single file, a folder of images without train and test) serves for both.
  Split split = Split::Train;
};

// UserError, in one line, if nothing of that name exists or what is there is damaged.
Dataset load_dataset(const std::string& what, const LoadOptions& options = {});

struct DatasetFormat {
  const char* description;  // for the message that lists what can be loaded
  bool (*recognises)(const std::string& what);
  Dataset (*load)(const std::string& what, const LoadOptions& options);
};

// Resizes, crops and converts 8-bit images to what the options ask for. Formats call it last.
void fit_to_options(Dataset& data, const LoadOptions& options);

}  // namespace ito
