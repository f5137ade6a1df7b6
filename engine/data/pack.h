// SPDX-License-Identifier: Apache-2.0
// A data set as one file, or shards of one, that training maps into memory: decoded, resized, every image at a place
// that its number says. It is a safetensors file that other programs can read:
//   samples  U8 (N, C, H, W)      labels  I64 (N), where there are classes
//   metadata  ito_data_set "1", class_names a JSON list, fingerprint and listing 16 hexadecimal digits each
//   (Dataset::pixel_hash and listing_hash of what was packed)
// Shards are such files themselves, NAME-00001-of-00004.safetensors, and NAME.safetensors.index.json lists them:
//   {"metadata": {..., as above}, "shards": [{"file": ..., "images": ...}, ...]}
#pragma once
#include <functional>
#include <string>

#include "engine/data/dataset.h"

namespace ito {

struct PackOptions {
  std::string path;                            // ends in .safetensors
  int shards = 1;                              // of as many images as there are, or one less
  int threads = 1;                             // that fetch images
  std::function<void(int64_t)> progress = {};  // images done
  int64_t stretch_bytes = int64_t{64} << 20;   // of images that are in memory at once
};

struct Packed {
  std::string path;  // what to give for the data set
  uint64_t bytes = 0;
};

inline constexpr int kMaxShards = 512;

// Whole or not at all. UserError: the images are floats, the disk has no room, there are fewer images than shards, or
// an image cannot be read. Holds some images in memory, not all.
Packed pack_dataset(const Dataset& data, const PackOptions& options);

// In the metadata of what is packed.
inline constexpr const char* kPackedKey = "ito_data_set";

}  // namespace ito
