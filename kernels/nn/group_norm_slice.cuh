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

// A tensor (N, HW, C) in one piece or in two side by side along the channels. at(strip, whole, p) is where pixel p of a
// strip is, whole its place in one piece. A strip lies in one of two, so a thread chooses once, before it walks.
template <class T, bool TWO>
struct Sides {
  struct Strip {};
  T* data;
  DEVICE Sides from(int64_t slice) const { return {data + slice}; }
  DEVICE Strip strip(const GroupNormShape&, int64_t, int) const { return {}; }
  template <class Any>
  DEVICE T* at(const Any&, int64_t whole, int) const {
    return data + whole;
  }
};
template <class T>
struct Sides<T, true> {
  struct Strip {
    int64_t start;
    int c;
    bool second;
  };
  T *data, *data1;
  int first_c;
  DEVICE Sides from(int64_t) const { return *this; }
  DEVICE Strip strip(const GroupNormShape& shape, int64_t image, int channel) const {
    const bool second = channel >= first_c;
    const int c = second ? shape.c - first_c : first_c;
    return {image * shape.hw * c + channel - (second ? first_c : 0), c, second};
  }
  template <class Any>  // the same of a tensor and its gradient
  DEVICE T* at(const Any& strip, int64_t, int p) const {
    return (strip.second ? data1 : data) + strip.start + int64_t{1} * p * strip.c;
  }
};

// A gradient of such a tensor, set or added to: ADD of one piece, each in its own way of two.
template <class T, bool ADD, bool TWO>
struct Targets {
  Sides<T, TWO> to;
  bool add, add1;
  // Calls f(whether to add), an integral constant.
  template <class Strip, class F>
  DEVICE void by_write(const Strip& strip, F&& f) const {
    if constexpr (!TWO) {
      f(std::bool_constant<ADD>{});
    } else {
      if (strip.second ? add1 : add)
        f(std::true_type{});
      else
        f(std::false_type{});
    }
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

// A slice's chain from u to z, a channel: d = x + offset, z = d scale + shift.
struct SliceChain {
  float *offset, *scale, *shift;  // (width): temb - mean; A = gamma rstd (1 + scale); beta (1 + scale) + shift
};

// Fills the chain for an image's channels first, ..., first + width - 1 (any width: groups may straddle its ends).
DEVICE void set_chain(const SliceChain& chain, const float* stats, const float* gamma, const float* beta,
                      const GroupNormModulation& modulation, const GroupNormShape& shape, int64_t image, int first,
                      int width) {
  const float* temb = modulation.temb ? modulation.temb + image * modulation.temb_stride + first : nullptr;
  const float* modulate =
      modulation.scale_shift ? modulation.scale_shift + image * modulation.scale_shift_stride + first : nullptr;
  const int group_size = shape.c / shape.groups;
  BLOCK_LOOP(j, width) {
    const float* of_group = stats + 2 * (image * shape.groups + (first + static_cast<int>(j)) / group_size);
    const float gain = modulate ? 1.0f + modulate[j] : 1.0f;
    chain.offset[j] = (temb ? temb[j] : 0.0f) - of_group[0];
    chain.scale[j] = gamma[first + j] * of_group[1] * gain;
    chain.shift[j] = modulate ? fmaf(beta[first + j], gain, modulate[shape.c + j]) : beta[first + j];
  }
}

// A block's part of a layer that is spread over segments of pixels: neighbouring blocks have neighbouring slices.
struct SegmentPlace {
  int64_t image;
  int segment, first, p0, p1;
  DEVICE SegmentPlace(int64_t block, const GroupNormShape& shape, int width, int segment_pixels) {
    const int slices = shape.c / width, segments = (shape.hw + segment_pixels - 1) / segment_pixels;
    first = static_cast<int>(block % slices) * width;
    segment = static_cast<int>(block / slices % segments);
    image = block / slices / segments;
    p0 = segment * segment_pixels;
    p1 = p0 + segment_pixels < shape.hw ? p0 + segment_pixels : shape.hw;
  }
};

// Calls batch(pixel, U) for the row's pixels of [p0, p1) in batches of U (at distance walk.rows), then batch(pixel, 1)
// for what remains; the counts are integral constants.
template <int U, class Batch>
DEVICE void for_batches(const SliceWalk& walk, int p0, int p1, Batch&& batch) {
  int p = p0 + walk.row;
  for (; p + (U - 1) * walk.rows < p1; p += U * walk.rows) batch(p, std::integral_constant<int, U>{});
  for (; p < p1; p += walk.rows) batch(p, std::integral_constant<int, 1>{});
}

// What the backward's sums over pixels become, by channel: the header of group_norm_backward.cu has the formulas.
struct ChannelSums {
  const double *dz, *dz_d, *d;  // (width)
};

// constant, slope (width): rstd m1, rstd^2 m2 of each channel's group. Whole groups a slice; a barrier at the end.
DEVICE void set_group_terms(float* constant, float* slope, const ChannelSums& sums, const float* stats,
                            const float* gamma, const GroupNormModulation& modulation, const GroupNormShape& shape,
                            int64_t image, int first, int width) {
  const float* modulate =
      modulation.scale_shift ? modulation.scale_shift + image * modulation.scale_shift_stride + first : nullptr;
  const int group_size = shape.c / shape.groups;
  BLOCK_LOOP(g, width / group_size) {
    const double rstd = stats[2 * (image * shape.groups + first / group_size + g) + 1];
    double m1 = 0, m2 = 0;
    for (int i = 0; i < group_size; ++i) {
      const int j = static_cast<int>(g) * group_size + i;
      const double weight = static_cast<double>(gamma[first + j]) * (modulate ? 1.0 + modulate[j] : 1.0);
      m1 += weight * sums.dz[j];
      m2 += weight * rstd * sums.dz_d[j];
    }
    const double count = static_cast<double>(shape.hw) * group_size;
    for (int i = 0; i < group_size; ++i) {
      constant[g * group_size + i] = static_cast<float>(rstd * m1 / count);
      slope[g * group_size + i] = static_cast<float>(rstd * rstd * m2 / count);
    }
  }
  block_sync();
}

// The gradients that are a number a channel.
DEVICE void write_channel_gradients(const GroupNormGradients& gradients, const float* constant, const float* slope,
                                    const ChannelSums& sums, const float* stats, const float* gamma, const float* beta,
                                    const GroupNormModulation& modulation, const GroupNormShape& shape, int64_t image,
                                    int first, int width) {
  const float* modulate =
      modulation.scale_shift ? modulation.scale_shift + image * modulation.scale_shift_stride + first : nullptr;
  const int group_size = shape.c / shape.groups;
  BLOCK_LOOP(j, width) {
    const double rstd = stats[2 * (image * shape.groups + (first + static_cast<int>(j)) / group_size) + 1];
    const double gain = modulate ? 1.0 + modulate[j] : 1.0;
    const double s1 = sums.dz[j], s2 = rstd * sums.dz_d[j];
    const int64_t at = image * shape.c + first + j;
    if (gradients.dbeta_partial) gradients.dbeta_partial[at] = static_cast<float>(gain * s1);
    if (gradients.dgamma_partial) gradients.dgamma_partial[at] = static_cast<float>(gain * s2);
    if (gradients.dscale_shift) {
      float* row = gradients.dscale_shift + image * modulation.scale_shift_stride + first;
      row[j] = static_cast<float>(gamma[first + j] * s2 + beta[first + j] * s1);
      row[shape.c + j] = static_cast<float>(s1);
    }
    if (gradients.dtemb) {
      gradients.dtemb[image * modulation.temb_stride + first + j] = static_cast<float>(
          gamma[first + j] * rstd * gain * s1 - shape.hw * static_cast<double>(constant[j]) - slope[j] * sums.d[j]);
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

inline Dim3 group_norm_segment_grid(const GroupNormShape& shape, int width) {
  return Dim3(int64_t{1} * shape.n * group_norm_segments(shape.hw) * (shape.c / width));
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

inline void check_group_norm(const char* kernel, const GroupNormShape& shape, const GroupNormInput& x) {
  check_group_norm(kernel, shape, x.x.data);
  check_group_norm(kernel, shape, x.x1.data);
  ITO_CHECK(!x.x1 || group_norm_takes_two(shape.c, x.first_c), kernel, ": two tensors of ", x.first_c, " and ",
            shape.c - x.first_c, " channels, expected multiples of 8; ask group_norm_takes_two, or concatenate them");
}

inline void check_group_norm(const char* kernel, const GroupNormShape& shape, const GroupNormGradients& gradients,
                             const GroupNormInput& x) {
  check_group_norm(kernel, shape, x);
  check_group_norm(kernel, shape, gradients.dx.data);
  check_group_norm(kernel, shape, gradients.dx1.data);
  ITO_CHECK(static_cast<bool>(gradients.dx1) == static_cast<bool>(x.x1), kernel, ": x is ", x.x1 ? "two" : "one",
            " and its gradient is not, expected a gradient for each");
}

// by_strip for an input that may be two tensors: f(strip, whether it is two). On a GPU two have the strip of their
// concatenation, on which rows of threads, and so the order of sums, depend; on a CPU that is one row whatever the
// strip.
template <class T, class F>
void by_strip(const GroupNormShape& shape, const GroupNormInput& x, F&& f) {
  constexpr int wide = kGroupNormStrip<T>;
  if (!x.x1) {
    by_strip<T>(shape.c, [&](auto strip) { f(strip, std::false_type{}); });
  } else if (shape.c % wide == 0 && x.first_c % wide == 0) {
    f(std::integral_constant<int, wide>{}, std::true_type{});
  } else if constexpr (wide > 8) {
    f(std::integral_constant<int, 8>{}, std::true_type{});
  }
}

template <class T, bool TWO>
Sides<const T, TWO> sides_of(const GroupNormInput& x) {
  if constexpr (TWO)
    return {x.x.as<T>(), x.x1.as<T>(), x.first_c};
  else
    return {x.x.as<T>()};
}

template <class T, bool ADD, bool TWO>
Targets<T, ADD, TWO> targets_of(const GroupNormGradients& gradients, const GroupNormInput& x) {
  const bool add = gradients.write == Write::Add, add1 = gradients.write1 == Write::Add;
  if constexpr (TWO)
    return {{gradients.dx.as<T>(), gradients.dx1.as<T>(), x.first_c}, add, add1};
  else
    return {{gradients.dx.as<T>()}, add, add1};
}

// Calls f(whether to add) as a kernel's template has it; of two, where the kernel asks for each, with true alone.
template <bool TWO, class F>
void by_write(Write write, F&& f) {
  if constexpr (TWO)
    f(std::true_type{});
  else
    write == Write::Add ? f(std::true_type{}) : f(std::false_type{});
}

}  // namespace ito
