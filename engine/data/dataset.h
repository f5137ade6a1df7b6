// SPDX-License-Identifier: Apache-2.0
// A data set: images of one shape, as bytes or as fp32, in memory or where they are stored, and their classes if they
// have any.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/image_source.h"
#include "engine/data/latent_scale.h"

namespace ito {

struct Dataset {
  std::string name;  // for messages and logs
  int count = 0, height = 0, width = 0, channels = 0;
  // (N, H, W, C); exactly one of the three is there.
  std::vector<uint8_t> pixels;                // 0..255
  std::vector<float> pixels_f32;              // as stored, nominally in [-1, 1]
  std::shared_ptr<const ImageSource> source;  // bytes that are fetched by index
  std::vector<int32_t> labels;                // (N), or empty
  // (N, label_width) real numbers in the place of classes, or empty with a width of 0; labels too where they are
  // classes
  std::vector<float> label_values;
  int label_width = 0;
  std::vector<std::string> class_names;  // by label, or empty
  std::optional<LatentScale> latents;    // pixels_f32 are codes by this scale, and no pictures
  // Hashes that are known without a look at every pixel, and 0 where they are not: fingerprint() of the same images in
  // memory, and one of the files that they come from, by name, size and a few of their bytes.
  uint64_t pixel_hash = 0, listing_hash = 0;

  bool byte_images() const { return pixels_f32.empty(); }
  // Of memory.
  size_t bytes() const { return pixels.size() + (pixels_f32.size() + label_values.size()) * sizeof(float); }
  int64_t image_size() const { return int64_t{height} * width * channels; }
  // In the form that a network takes, where one can be made of the other; UserError where it cannot.
  void want_classes();          // labels alone
  void want_values(int width);  // label_values alone
  int class_count() const;      // the names, or else the largest label + 1; 0 without labels

  // Image `index` as (H, W, C) fp32: bytes v become v / 127.5 - 1. `flip` mirrors left and right.
  void image_f32(int64_t index, bool flip, float* out_hwc) const;

  // Image `index` of bytes, as (H, W, C).
  void image_bytes(int64_t index, uint8_t* out_hwc) const;

  // A hash of shape, pixels and labels (FNV-1a over 64-bit words): tells on resume whether the data is the same. Of
  // images that are not in memory it is pixel_hash, or else listing_hash, or else all of them are read.
  uint64_t fingerprint() const;
  // What tells whether others have the same data, who may have it in memory or not: listing_hash where it is known.
  uint64_t shared_fingerprint() const { return listing_hash ? listing_hash : fingerprint(); }
  // Whether a stored fingerprint() is of the same images, in memory then or not. Reads all of a source's images if
  // nothing less can tell.
  bool answers_to(uint64_t fingerprint) const;

  // Throws ito::Error if the sizes do not agree with one another.
  void check() const;
};

}  // namespace ito
