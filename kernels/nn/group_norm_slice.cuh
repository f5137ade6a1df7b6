// SPDX-License-Identifier: Apache-2.0
// The cut that both directions of GroupNorm share; included by their .cu files after "dialect.h".
// A block owns one image and a slice of its channels: whole groups, at least 128 bytes wide where the layer allows. A
// thread owns strips of V neighbouring channels (16 bytes on a GPU, 16 channels where a block is one thread) and walks
// the pixels of its row set, so that loads are wide, sums are per channel and no group straddles two blocks.
#pragma once
#include <numeric>

#include "kernels/nn/group_norm.h"

namespace ito {

inline constexpr int kGroupNormThreads = block_threads(256);
// Pixels summed in fp32 before the sum goes to fp64: bounds the error at a few units in the last place, whatever HW.
inline constexpr int kGroupNormRun = 32;

template <class T>
inline constexpr int kGroupNormStrip = WARP == 1 ? 32 : 16 / static_cast<int>(sizeof(T));

// A thread's place in its block: strips lane, lane + lanes, ... and pixels row, row + rows, ...
struct SliceWalk {
  int strips, lanes, rows, lane, row;
  DEVICE SliceWalk(int width, int strip, int threads, int thread) {
    strips = width / strip;
    lanes = strips < threads ? strips : threads;
    rows = threads / lanes;
    lane = thread % lanes;
    row = thread / lanes;  // >= rows: an idle thread
  }
};

// fold[(sum * rows + row) * width + channel] = the sum over the row's pixels of what add(strip, pixel, part) adds.
template <int SUMS, int V, class Begin>
DEVICE void sum_pixels(double* fold, const SliceWalk& walk, int width, int hw, Begin&& begin) {
  if (walk.row < walk.rows) {
    for (int strip = walk.lane; strip < walk.strips; strip += walk.lanes) {
      const auto add = begin(strip * V);
      // The fp64 sums wait in memory: as registers they would halve the blocks that a multiprocessor holds.
      double* total = fold + walk.row * width + strip * V;
      for (int i = 0; i < SUMS; ++i) for_lanes<V>([&](int v) { total[i * walk.rows * width + v] = 0; });
      for (int p0 = walk.row; p0 < hw; p0 += walk.rows * kGroupNormRun) {
        const int reach = p0 + walk.rows * kGroupNormRun;
        const int p1 = reach < hw ? reach : hw;
        float part[SUMS][V] = {};
        for (int p = p0; p < p1; p += walk.rows) add(p, part);
        for (int i = 0; i < SUMS; ++i)
          for_lanes<V>([&](int v) { total[i * walk.rows * width + v] += static_cast<double>(part[i][v]); });
      }
    }
  }
  block_sync();
  // Rows in index order, into row 0.
  BLOCK_LOOP(column, SUMS * width) {
    double* first = fold + (column / width) * walk.rows * width + column % width;
    double total = first[0];
    for (int row = 1; row < walk.rows; ++row) total += first[row * width];
    first[0] = total;
  }
  block_sync();
}

// Calls body(pixel) for the pixels of each of the thread's strips, after begin(first channel) made it.
template <int V, class Begin>
DEVICE void for_pixels(const SliceWalk& walk, int hw, Begin&& begin) {
  if (walk.row < walk.rows) {
    for (int strip = walk.lane; strip < walk.strips; strip += walk.lanes) {
      const auto body = begin(strip * V);
      for (int p = walk.row; p < hw; p += walk.rows) body(p);
    }
  }
}

// Host side: the slice's channels, a function of the layer and the storage type alone.
template <class T, int V>
int group_norm_slice(const GroupNormShape& shape) {
  const int unit = std::lcm(shape.c / shape.groups, V);
  int width = unit;
  while (width < shape.c && (shape.c % width != 0 || width * sizeof(T) < 128)) width += unit;
  // The backward keeps 3 sums in fp64 and 5 numbers in fp32 a channel, and no card gives a block more. A host has
  // memory for any slice; the group alone is refused there too, since no slice is narrower.
  constexpr int kMostShared = 232448, kMost = kMostShared / (3 * sizeof(double) + 5 * sizeof(float));
  const int checked = WARP == 1 ? shape.c / shape.groups : width;
  ITO_CHECK(checked <= kMost, "group_norm: groups of ", shape.c / shape.groups, " channels make slices of ", checked,
            ", expected at most ", kMost, "; choose more groups");
  return width;
}

template <class T, int V>
size_t group_norm_fold_bytes(int width, int sums) {
  const int strips = width / V;
  const int rows = kGroupNormThreads / (strips < kGroupNormThreads ? strips : kGroupNormThreads);
  return sizeof(double) * sums * rows * width;
}

// Calls f with the widest strip that divides the layer's channels, as an integral_constant.
template <class T, class F>
void by_strip(int c, F&& f) {
  constexpr int wide = kGroupNormStrip<T>;
  if (c % wide == 0)
    f(std::integral_constant<int, wide>{});
  else if (c % (wide / 4) == 0)
    f(std::integral_constant<int, wide / 4>{});
  else
    f(std::integral_constant<int, 1>{});
}

inline void check_group_norm(const char* kernel, const GroupNormShape& shape, const void* activations) {
  ITO_CHECK(shape.n >= 0 && shape.hw > 0 && shape.c > 0 && shape.groups > 0, kernel, ": n=", shape.n, " hw=", shape.hw,
            " c=", shape.c, " groups=", shape.groups, ", expected positive sizes");
  ITO_CHECK(shape.c % shape.groups == 0, kernel, ": ", shape.c, " channels do not divide into ", shape.groups,
            " groups; choose a divisor of the channels");
  ITO_CHECK(reinterpret_cast<uintptr_t>(activations) % 16 == 0, kernel,
            ": an activation is not aligned to 16 bytes; take tensors from device_allocate or an aligned arena");
}

}  // namespace ito
