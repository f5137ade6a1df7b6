// SPDX-License-Identifier: Apache-2.0
// A data set in memory: images of one shape, as bytes or as fp32, and their classes if they have any.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/latent_scale.h"

namespace ito {

struct Dataset {
  std::string name;  // for messages and logs
  int count = 0, height = 0, width = 0, channels = 0;
  // (N, H, W, C); exactly one of the two is filled.
  std::vector<uint8_t> pixels;    // 0..255
  std::vector<float> pixels_f32;  // as stored, nominally in [-1, 1]
  std::vector<int32_t> labels;    // (N), or empty
  // (N, label_width) real numbers in the place of classes, or empty with a width of 0; labels too where they are
  // classes
  std::vector<float> label_values;
  int label_width = 0;
  std::vector<std::string> class_names;  // by label, or empty
  std::optional<LatentScale> latents;    // pixels_f32 are codes by this scale, and no pictures

  size_t bytes() const {
    return pixels.size() + (pixels_f32.size() + label_values.size()) * sizeof(float);
  }  // of memory
  int64_t image_size() const { return int64_t{height} * width * channels; }
  // In the form that a network takes, where one can be made of the other; UserError where it cannot.
  void want_classes();          // labels alone
  void want_values(int width);  // label_values alone
  int class_count() const;      // the names, or else the largest label + 1; 0 without labels

  // Image `index` as (H, W, C) fp32: bytes v become v / 127.5 - 1. `flip` mirrors left and right.
  void image_f32(int64_t index, bool flip, float* out_hwc) const;

  // A hash of shape, pixels and labels (FNV-1a over 64-bit words): tells on resume whether the data is the same.
  uint64_t fingerprint() const;

  // Throws ito::Error if the sizes do not agree with one another.
  void check() const;
};

}  // namespace ito
