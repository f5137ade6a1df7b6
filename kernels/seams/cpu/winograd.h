// SPDX-License-Identifier: Apache-2.0
// 3x3 convolutions of fp32 by F(2x2, 3x3) of Lavin and Gray 2016, after Winograd: a tile of 2 x 2 outputs needs 16
// products a pair of channels where the sum over the filter has 36. With tiles d (4 x 4) of the input and filters g,
//   y = A^T [ sum_c (G g G^T) . (B^T d B) ] A,   dg = G^T [ sum_tiles (A dy A^T) . (B^T d B) ] G,
// and the sums are 16 matrix products, which oneDNN does. The library's direct kernels run at the processor's rate of
// multiply-adds, so fewer of them is all that is left to gain.
// Rounding: transforms add up to four numbers of a tile, so an output's error is relative to the largest of its tile's
// 16 inputs, not of its own 9; for what is of one size it is the direct sum's. Refused: F(4x4, 3x3), whose constants
// cost two digits; bf16, whose tiles would be rounded once more.
#pragma once
#include <vector>

#include "kernels/seams/conv.h"
#include "kernels/seams/cpu/onednn.h"

namespace ito::winograd {

constexpr int kComponents = 16;

// Tiles of a produced image, and the consumed rows and columns that they begin at.
struct Geometry {
  int in_h, in_w, in_c, out_h, out_w, out_c;
  int pad_top, pad_left;
  int tile_rows() const { return (out_h + 1) / 2; }
  int tile_columns() const { return (out_w + 1) / 2; }
};
Geometry forward_geometry(const ConvShape& shape);
Geometry data_geometry(const ConvShape& shape);  // dx from dy

// Whether the layer gains by it. A function of the layer alone.
bool takes(const ConvShape& shape, DType type);

struct Epilogue {
  const float* bias = nullptr;
  const float* residual = nullptr;
  float scale = 1.0f;
  bool add = false;  // to what is there; without the other three
};

// y from x, or dx from dy, band by band of an image's tiles.
class ImageConv {
 public:
  ImageConv(const Geometry& geometry, bool flipped);  // flipped: the data gradient's filters
  size_t packed_bytes() const { return sizeof(float) * kComponents * g_.in_c * g_.out_c; }
  void bind(void* packed);
  void pack(const float* weight) const;  // masters (K, 3, 3, C)
  void run(float* out, const float* in, const Epilogue& epilogue, int n);
  int bands() const { return static_cast<int>(ceil_div(g_.tile_rows(), band_rows_)); }
  std::string name() const;

 private:
  Geometry g_;
  bool flipped_;
  int band_rows_ = 0;                  // tile rows
  std::vector<onednn::Call> product_;  // of a whole band, of the last one
  float* packed_ = nullptr;
};

// The gradient of a chunk's filters and bias.
class WeightGradient {
 public:
  explicit WeightGradient(const ConvShape& shape);
  void prepare(int workers);
  // dweight (K, 3, 3, C), dbias (K): set. x and dy: the images that there are, at most the chunk.
  void run(int worker, float* dweight, float* dbias, const float* x, const float* dy, int images);
  std::string name() const;

 private:
  Geometry g_;
  int band_rows_ = 0;
  onednn::Call set_, add_, add_last_;  // the first band of a chunk; the others; an image's last
};

}  // namespace ito::winograd
