// SPDX-License-Identifier: Apache-2.0
// Shapes of the resampling and concatenation tests and benchmarks: ragged ones, then ones of
// real networks.
#pragma once
#include <cstddef>
#include <vector>

namespace ito::cases {

struct Resample {
  int n, h, w, c, out_h, out_w;
  size_t inputs() const { return static_cast<size_t>(n) * h * w * c; }
  size_t outputs() const { return static_cast<size_t>(n) * out_h * out_w * c; }
  size_t pooled() const { return static_cast<size_t>(n) * (h / 2) * (w / 2) * c; }
};

inline const std::vector<Resample> kResample = {
    {2, 3, 5, 7, 6, 10},      // odd everything, by two
    {1, 4, 5, 33, 7, 9},      // not a whole ratio; one channel past a warp
    {1, 14, 2, 1, 46, 3},     // where fp32 and exact index arithmetic differ
    {3, 9, 8, 4, 4, 8},       // to fewer rows: some inputs feed nothing
    {1, 2, 2, 300, 4, 4},     // more channels than threads
    {2, 14, 14, 64, 28, 28},  // a Fashion-MNIST network
};

// What n images of 32 x 32 are pooled and upsampled to and from.
inline std::vector<Resample> model_resample_cases(int n) {
  return {{n, 32, 32, 128, 64, 64}, {n, 16, 16, 256, 32, 32}};
}

// Through a filter, to twice and half the size: the sizes are even.
struct Fir {
  int n, h, w, c;
  size_t count() const { return static_cast<size_t>(n) * h * w * c; }
};
inline const std::vector<Fir> kFir = {
    {2, 2, 6, 3},    // one row of the smaller tensor: no neighbour above or below; an image's channels
    {1, 8, 2, 33},   // one column; a channel past a warp
    {3, 4, 4, 300},  // more channels than threads
    {2, 6, 10, 64},  // packs
};

// What n images of 32 x 32 go up and down from.
inline std::vector<Fir> model_fir_cases(int n) {
  return {{n, 32, 32, 128}, {n, 16, 16, 256}};
}

struct Concat {
  int rows, ca, cb;
};
inline const std::vector<Concat> kConcat = {{1, 1, 1}, {13, 3, 5}, {9, 40, 33}, {9, 32, 96}, {16, 64, 300}};

// Skip connections of ddpm-cifar10.
inline std::vector<Concat> model_concat_cases(int n) {
  return {{1024 * n, 128, 128}, {256 * n, 256, 256}, {64 * n, 256, 128}};
}

}  // namespace ito::cases
