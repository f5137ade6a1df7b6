// SPDX-License-Identifier: Apache-2.0
// See dataset.h.
#include "engine/data/dataset.h"

#include <algorithm>
#include <cstring>

#include "engine/data/pixel_hash.h"
#include "engine/io/hash.h"
#include "kernels/error.h"

namespace ito {

void Dataset::want_classes() {
  ITO_USER_CHECK(!labels.empty() || label_width == 0, name, ": has real-valued labels (",
                 label_width > 1 ? join_text(label_width, " numbers an image") : join_text(label_values.at(0), ", ..."),
                 "), the model takes class numbers; give it data with classes, or a model of class_embed_type timestep "
                 "or identity");
  label_values.clear();
  label_width = 0;
}

void Dataset::want_values(int width) {
  ITO_USER_CHECK(label_width > 0 || !labels.empty(), name,
                 ": has no labels, and the model takes real-valued ones (class_embed_type); give it data with labels");
  if (label_width == 0) {
    label_values.assign(labels.begin(), labels.end());
    label_width = 1;
  }
  ITO_USER_CHECK(label_width == width, name, ": has labels of ", label_width, " numbers an image, the model takes ",
                 width);
  labels.clear();
}

int Dataset::class_count() const {
  if (labels.empty()) return 0;
  if (!class_names.empty()) return static_cast<int>(class_names.size());
  return *std::max_element(labels.begin(), labels.end()) + 1;
}

void Dataset::image_bytes(int64_t index, uint8_t* out_hwc) const {
  ITO_CHECK(index >= 0 && index < count, name, ": image ", index, " of ", count);
  ITO_CHECK(byte_images(), name, ": holds floats, and bytes were asked for");
  if (source)
    source->read(index, out_hwc);
  else
    std::memcpy(out_hwc, &pixels[static_cast<size_t>(index * image_size())], static_cast<size_t>(image_size()));
}

void Dataset::image_f32(int64_t index, bool flip, float* out_hwc) const {
  ITO_CHECK(index >= 0 && index < count, name, ": image ", index, " of ", count);
  std::vector<uint8_t> fetched(source ? static_cast<size_t>(image_size()) : 0);
  if (source) source->read(index, fetched.data());
  const std::vector<uint8_t>& bytes = source ? fetched : pixels;
  const int64_t first = source ? 0 : index * image_size();
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      const int64_t from = first + (y * width + (flip ? width - 1 - x : x)) * channels;
      float* out = out_hwc + (y * width + x) * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const auto i = static_cast<size_t>(from + c);
        out[c] = byte_images() ? static_cast<float>(bytes[i]) / 127.5f - 1.0f : pixels_f32[i];
      }
    }
}

namespace {

// Of a source, from its images one after another.
uint64_t hash_of_source(const Dataset& data) {
  PixelHash hash(data.count, data.height, data.width, data.channels);
  std::vector<uint8_t> image(static_cast<size_t>(data.image_size()));
  for (int64_t i = 0; i < data.count; ++i) {
    data.source->read(i, image.data());
    hash.add(image.data(), image.size());
  }
  return hash.finish(data.labels);
}

}  // namespace

bool Dataset::answers_to(uint64_t stored) const {
  if (stored == fingerprint() || (listing_hash && stored == listing_hash)) return true;
  return source && !pixel_hash && listing_hash && stored == hash_of_source(*this);
}

uint64_t Dataset::fingerprint() const {
  if (source) return pixel_hash ? pixel_hash : listing_hash ? listing_hash : hash_of_source(*this);
  uint64_t hash = kHashStart;
  for (const int size : {count, height, width, channels}) hash = hash_word(hash, static_cast<uint64_t>(size));
  hash = hash_word(hash, pixels_f32.empty() ? 1 : 4);
  hash = hash_bytes(hash, pixels.data(), pixels.size());
  hash = hash_bytes(hash, pixels_f32.data(), pixels_f32.size() * sizeof(float));
  hash = hash_bytes(hash, labels.data(), labels.size() * sizeof(int32_t));
  return label_values.empty() ? hash : hash_bytes(hash, label_values.data(), label_values.size() * sizeof(float));
}

void Dataset::check() const {
  const auto values = static_cast<size_t>(count * image_size());
  ITO_CHECK(count > 0 && height > 0 && width > 0 && channels > 0, name, ": ", count, " images of ", height, "x", width,
            "x", channels);
  ITO_CHECK(pixels.size() + pixels_f32.size() == (source ? 0 : values) && (pixels.empty() || pixels_f32.empty()), name,
            ": ", pixels.size(), " bytes and ", pixels_f32.size(), " floats where ", source ? 0 : values,
            " values are expected");
  ITO_CHECK(labels.empty() || labels.size() == static_cast<size_t>(count), name, ": ", labels.size(), " labels for ",
            count, " images");
  ITO_CHECK(label_values.size() == static_cast<size_t>(count) * static_cast<size_t>(label_width), name, ": ",
            label_values.size(), " label values for ", count, " images of ", label_width);
}

}  // namespace ito
