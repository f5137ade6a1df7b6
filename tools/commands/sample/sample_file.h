// SPDX-License-Identifier: Apache-2.0
// samples.safetensors in the making: of its whole size from the beginning, and written by the batch, each image at its
// place, by all ranks of a run. What is in memory is a batch; what has been written is known by OUT/parts.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/data/latent_scale.h"
#include "engine/io/layout.h"
#include "engine/io/safetensors.h"

namespace ito {

// The class of each image of the file, or nothing for a model without classes.
using ClassOf = std::function<int64_t(int64_t index)>;

// What stands in the file beside its images.
struct SampleFacts {
  ClassOf class_of = {};
  std::vector<float> values = {};  // real-valued labels, (count, label_width), or none
  int label_width = 1;
  std::optional<LatentScale> latents = std::nullopt;  // of samples that are latents
};

class SampleFile {
 public:
  SampleFile(const std::string& path, int64_t count, const ImageShape& image, SampleFacts beside);
  ~SampleFile();
  SampleFile(const SampleFile&) = delete;
  SampleFile& operator=(const SampleFile&) = delete;

  bool is_there() const;  // a file that create has made of the same images
  void create();          // UserError where there is no room for it all
  void open();            // after create, of whichever process

  // Images at .. at+n-1, (n, H, W, C). On the disk when this returns.
  void write(int64_t at, int64_t n, const std::vector<float>& images);
  std::vector<float> read(int64_t at, int64_t n) const;
  // Gives the whole file its final name.
  void put_in_place(const std::string& path);

  int64_t count() const { return count_; }
  const ImageShape& image() const { return image_; }
  const SampleFacts& beside() const { return beside_; }
  std::vector<int64_t> label_shape() const;  // of the real-valued ones

 private:
  std::string beginning() const;  // the file's, up to its first tensor
  uint64_t place_of(int64_t index) const;

  std::string path_;
  int64_t count_;
  ImageShape image_;
  SampleFacts beside_;
  SafetensorsWriter layout_;
  SafetensorsWriter::Places places_;
  int descriptor_ = -1;
};

}  // namespace ito
