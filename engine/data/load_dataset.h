// SPDX-License-Identifier: Apache-2.0
// From what the user names to a Dataset: `fashion-mnist`, or the path of
//   - a folder of PNG or JPEG images; sub-folders are classes, in sorted order, with all that is below them; `train`
//   beside `test` or `val` are splits
//   - an IDX file (MNIST and relatives, .gz or plain) with its labels beside it, or a folder of such files
//   - the binary version of CIFAR-10 or CIFAR-100: its folder, or one .bin file
//   - a safetensors file: `samples` (N, C, H, W), F32 in [-1, 1] or U8, and optionally `labels` (N)
//   - a packed data set: a safetensors file of `samples` U8 that pack_dataset (pack.h) wrote, or the index of its
//   shards
//   - a zip, a tar, a folder of tars or a pattern of them (shards-{000..012}.tar) of images: archive_images.h
//   - an .npz file: `arr_0` (N, H, W, C), U8, and optionally `arr_1` (N), the classes
// Each format is one file, format_<name>.cpp, which fills in a DatasetFormat; load_dataset.cpp lists them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/data/dataset.h"

namespace ito {

enum class Split { Train, Test };

// Images read so far, for whoever watches; total 0: not known yet.
struct LoadProgress {
  std::atomic<int64_t> done{0}, total{0};
};

struct LoadOptions {
  int height = 0, width = 0;  // of the images, both or neither; 0: as they are
  int channels = 0;           // 1 or 3; 0: as they are
  // A path that has no splits (a single file, a folder of images without train and test) serves for both.
  Split split = Split::Train;
  int threads = 0;  // that decode images; 0: one a core
  // Bytes that the images may take while they are read. Those of folders, archives and packed files that need more stay
  // where they are, and each is fetched when it is wanted (Dataset::source); stream: so they do in any case.
  size_t memory_limit = SIZE_MAX;
  bool stream = false;
  LoadProgress* progress = nullptr;  // outlives the call
};

// UserError, in one line, if nothing of that name exists, or what is there is damaged or does not fit into the memory.
// Warns of files that are passed over, and of values that are not in the range that their type promises.
Dataset load_dataset(const std::string& what, const LoadOptions& options = {});

struct DatasetFormat {
  const char* description;  // for the message that lists what can be loaded
  bool (*recognises)(const std::string& what);
  Dataset (*load)(const std::string& what, const LoadOptions& options);
};

// For formats.
// Resizes, crops and converts 8-bit images to what the options ask for: called last.
void fit_to_options(Dataset& data, const LoadOptions& options);
// Labels that are floats: real-valued ones, (N) or (N, numbers of an image), and classes too where they can be those.
// where: begins the UserError.
void take_label_values(Dataset& data, const std::vector<int64_t>& shape, std::vector<float> values,
                       const std::string& where);
// UserError if `copies` of the images, `bytes` each, do not fit: called before anything is allocated.
void check_data_memory(const std::string& name, int64_t count, size_t bytes, int copies, const LoadOptions& options);

}  // namespace ito
