// SPDX-License-Identifier: Apache-2.0
// The reverse process as a picture: the first image of a batch at eight moments, and above it the finished image
// noised to the same levels.
#pragma once
#include <string>
#include <vector>

#include "engine/io/image.h"
#include "engine/io/layout.h"
#include "engine/samplers/row_builder.h"

namespace ito {

class Strip {
 public:
  Strip(const ReverseTable& table, const ImageShape& image);
  bool wants(int row) const;    // whether the state after this row belongs to the picture
  void record(const float* x);  // the state after a wanted row, in order
  // Two rows: `final_image` noised, clean on the left; below it the states, noise on the left.
  Image picture(const float* final_image) const;

 private:
  ReverseTable table_;
  ImageShape image_;
  std::vector<int> moments_;
  std::vector<std::vector<float>> states_;
};

}  // namespace ito
