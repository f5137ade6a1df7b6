// SPDX-License-Identifier: Apache-2.0
// GroupNorm's forward with a group over several blocks: formulas in group_norm.cu.
// Three kernels: a block has a slice of channels (group_norm_slice.cuh) and a segment of pixels, and leaves each
// channel's mean and summed squares about it, M2; then a thread a channel folds the segments, and one a group its
// channels (Chan et al. 1979: about the mean of all, M2 = sum M2_i + n_i (mean_i - mean)^2); then every block
// normalises its segment. A thread takes 4 pixels at a time, so that 4 loads of 16 bytes are on their way, finds their
// mean and squares from registers and joins them to what it has. So x is read once, without E[u^2] - mean^2, and
// everything about a thread's pixels is fp32; rows, segments and channels are joined in double, in index order. Memory:
// statistics read sizeof(T) bytes an element and write 8 a channel and segment; apply reads and writes sizeof(T) each.
// It walks from the last image to the first: what the statistics read last is still in L2.
#include "dialect.h"
#include "kernels/nn/group_norm.h"
#include "kernels/nn/group_norm_slice.cuh"

namespace ito {
namespace {

constexpr int kBatch = 4;  // pixels of a thread on their way at a time

DEVICE int pixels_of_row(const SliceWalk& walk, int row, int p0, int p1) {
  return p1 - p0 > row ? (p1 - p0 - row + walk.rows - 1) / walk.rows : 0;
}

template <class T, int V, bool TWO>
KERNEL void group_norm_segment_statistics_kernel(float* partials, Sides<const T, TWO> x, GroupNormShape shape,
                                                 int width, int segment_pixels) {
  const SegmentPlace place(blockIdx.x, shape, width, segment_pixels);
  const SliceWalk walk(width, V, kGroupNormThreads, static_cast<int>(threadIdx.x));
  const int c = shape.c;
  float* row_mean = dyn_shared<float>();             // (rows, width)
  float* row_square = row_mean + walk.rows * width;  // (rows, width)
  const auto from = x.from(place.image * shape.hw * c + place.first);

  if (walk.row < walk.rows) {
    for (int strip = walk.lane; strip < walk.strips; strip += walk.lanes) {
      const auto side = x.strip(shape, place.image, place.first + strip * V);
      float mean[V] = {}, square[V] = {}, count = 0;
      for_batches<kBatch>(walk, place.p0, place.p1, [&](int p, auto size) {
        constexpr int U = decltype(size)::value;
        float f[U][V];
        for (int u = 0; u < U; ++u)
          load_floats(f[u], from.at(side, int64_t{1} * (p + u * walk.rows) * c + strip * V, p + u * walk.rows));
        const float share = U * reciprocal(count + U), weight = count * share;
        for_lanes<V>([&](int v) {
          float batch = f[0][v];
          for (int u = 1; u < U; ++u) batch += f[u][v];
          batch *= 1.0f / U;
          const float delta = batch - mean[v];
          mean[v] = fmaf(delta, share, mean[v]);
          square[v] = fmaf(delta * delta, weight, square[v]);
          for (int u = 0; u < U; ++u) {
            const float d = f[u][v] - batch;
            square[v] = fmaf(d, d, square[v]);
          }
        });
        count += U;
      });
      store_floats(row_mean + walk.row * width + strip * V, mean);
      store_floats(row_square + walk.row * width + strip * V, square);
    }
  }
  block_sync();

  float* to = partials + 2 * ((place.image * ((shape.hw + segment_pixels - 1) / segment_pixels) + place.segment) * c +
                              place.first);
  BLOCK_LOOP(j, width) {
    double sum = 0, square = 0;
    for (int row = 0; row < walk.rows; ++row)
      sum += pixels_of_row(walk, row, place.p0, place.p1) * static_cast<double>(row_mean[row * width + j]);
    const double mean = sum / (place.p1 - place.p0);
    for (int row = 0; row < walk.rows; ++row) {
      const double d = row_mean[row * width + j] - mean;
      square += row_square[row * width + j] + pixels_of_row(walk, row, place.p0, place.p1) * d * d;
    }
    to[2 * j] = static_cast<float>(mean);
    to[2 * j + 1] = static_cast<float>(square);
  }
}

template <bool TWO>
KERNEL void group_norm_fold_statistics_kernel(float* stats, GroupNormMoments moments, GroupNormModulation modulation,
                                              GroupNormShape shape, int width) {
  const int slices = shape.c / width;
  const int64_t image = blockIdx.x / slices;
  const int first = static_cast<int>(blockIdx.x % slices) * width;
  const int group_size = shape.c / shape.groups;
  double* mean = dyn_shared<double>();  // (width), temb included
  double* square = mean + width;

  BLOCK_LOOP(j, width) {
    const int channel = first + static_cast<int>(j);
    const bool second = TWO && channel >= moments.first_c;
    const int pixels = second ? moments.segment_pixels1 : moments.segment_pixels;
    const int segments = (shape.hw + pixels - 1) / pixels, last_pixels = shape.hw - (segments - 1) * pixels;
    const int c = second ? shape.c - moments.first_c : TWO ? moments.first_c : shape.c;
    const float* of_channel = (second ? moments.partials1 : moments.partials) +
                              2 * (image * segments * c + channel - (second ? moments.first_c : 0));
    double sum = 0, about = 0;
    for (int s = 0; s < segments; ++s)
      sum += (s + 1 < segments ? pixels : last_pixels) * static_cast<double>(of_channel[2 * (int64_t{1} * s * c)]);
    const double center = sum / shape.hw;
    for (int s = 0; s < segments; ++s) {
      const float* at = of_channel + 2 * (int64_t{1} * s * c);
      const double d = at[0] - center;
      about += at[1] + (s + 1 < segments ? pixels : last_pixels) * d * d;
    }
    mean[j] = center + (modulation.temb ? modulation.temb[image * modulation.temb_stride + first + j] : 0.0f);
    square[j] = about;
  }
  block_sync();
  BLOCK_LOOP(g, width / group_size) {
    double sum = 0, about = 0;
    for (int j = 0; j < group_size; ++j) sum += mean[g * group_size + j];
    const double center = sum / group_size;
    for (int j = 0; j < group_size; ++j) {
      const double d = mean[g * group_size + j] - center;
      about += square[g * group_size + j] + shape.hw * d * d;
    }
    const double variance = about / (static_cast<double>(shape.hw) * group_size);
    float* to = stats + 2 * (image * shape.groups + first / group_size + g);
    to[0] = static_cast<float>(center);
    to[1] = static_cast<float>(1.0 / sqrt(variance + static_cast<double>(shape.eps)));
  }
}

template <class T, int V, bool SILU, bool TWO>
KERNEL void group_norm_apply_kernel(T* y, Sides<const T, TWO> x, const float* stats, const float* gamma,
                                    const float* beta, GroupNormModulation modulation, GroupNormShape shape, int width,
                                    int segment_pixels) {
  const SegmentPlace place(gridDim.x - 1 - int64_t{blockIdx.x}, shape, width, segment_pixels);
  const SliceWalk walk(width, V, kGroupNormThreads, static_cast<int>(threadIdx.x));
  const int c = shape.c;
  float* offset = dyn_shared<float>();
  const SliceChain chain{offset, offset + width, offset + 2 * width};
  const int64_t slice = place.image * shape.hw * c + place.first;
  set_chain(chain, stats, gamma, beta, modulation, shape, place.image, place.first, width);
  block_sync();

  if (walk.row < walk.rows) {
    for (int strip = walk.lane; strip < walk.strips; strip += walk.lanes) {
      const auto side = x.strip(shape, place.image, place.first + strip * V);
      float o[V], a[V], b[V];
      load_floats(o, chain.offset + strip * V);
      load_floats(a, chain.scale + strip * V);
      load_floats(b, chain.shift + strip * V);
      for_batches<kBatch>(walk, place.p0, place.p1, [&](int p, auto size) {
        constexpr int U = decltype(size)::value;
        float f[U][V];
        for (int u = 0; u < U; ++u)
          load_floats(f[u], x.at(side, slice + int64_t{1} * (p + u * walk.rows) * c + strip * V, p + u * walk.rows));
        for (int u = 0; u < U; ++u) {
          for_lanes<V>([&](int v) {
            const float z = fmaf(f[u][v] + o[v], a[v], b[v]);
            f[u][v] = SILU ? z * sigmoid(z) : z;
          });
          store_floats(y + slice + int64_t{1} * (p + u * walk.rows) * c + strip * V, f[u]);
        }
      });
    }
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void group_norm_statistics(Stream& stream, float* stats, const GroupNormInput& x, const GroupNormModulation& modulation,
                           const GroupNormShape& shape, float* partials) {
  check_group_norm("group_norm_statistics", shape, x);
  by_type(x.x.type, [&](auto zero) {
    using T = decltype(zero);
    by_strip<T>(shape, x, [&](auto strip, auto two) {
      constexpr int V = decltype(strip)::value;
      constexpr bool TWO = decltype(two)::value;
      const int width = group_norm_slice<T, V>(shape);
      const size_t smem = group_norm_fold_bytes<T, V>(width, 1);  // two in fp32 are one in fp64
      launch<group_norm_segment_statistics_kernel<T, V, TWO>>(
          "group_norm_segment_statistics", group_norm_segment_grid(shape, width), kGroupNormThreads, smem, stream,
          partials, sides_of<T, TWO>(x), shape, width, group_norm_segment(shape.hw));
    });
  });
  group_norm_fold_statistics(stream, stats, partials, group_norm_segment(shape.hw), modulation, shape);
}

void group_norm_fold_statistics(Stream& stream, float* stats, const GroupNormMoments& moments,
                                const GroupNormModulation& modulation, const GroupNormShape& shape) {
  check_group_norm("group_norm_fold_statistics", shape, static_cast<const void*>(nullptr));
  ITO_CHECK(moments.segment_pixels > 0 && (!moments.partials1 || moments.segment_pixels1 > 0),
            "group_norm_fold_statistics: segments of ", moments.segment_pixels, " and ", moments.segment_pixels1,
            " pixels, expected some");
  ITO_CHECK(!moments.partials1 || (0 < moments.first_c && moments.first_c < shape.c),
            "group_norm_fold_statistics: moments of ", moments.first_c, " channels and of the rest of ", shape.c,
            ", expected some of both");
  const int width = group_norm_slice<bf16, 1>(shape);
  const auto run = [&](auto two) {
    launch<group_norm_fold_statistics_kernel<decltype(two)::value>>(
        "group_norm_fold_statistics", Dim3(int64_t{1} * shape.n * (shape.c / width)), block_threads(128),
        sizeof(double) * 2 * width, stream, stats, moments, modulation, shape, width);
  };
  moments.partials1 ? run(std::true_type{}) : run(std::false_type{});
}

void group_norm_apply(Stream& stream, DataRef y, const GroupNormInput& x, const float* stats, const float* gamma,
                      const float* beta, const GroupNormModulation& modulation, const GroupNormShape& shape) {
  check_group_norm("group_norm_apply", shape, x);
  check_group_norm("group_norm_apply", shape, y.data);
  by_type(x.x.type, [&](auto zero) {
    using T = decltype(zero);
    by_strip<T>(shape, x, [&](auto strip, auto two) {
      constexpr int V = decltype(strip)::value;
      constexpr bool TWO = decltype(two)::value;
      const int width = group_norm_slice<T, V>(shape);
      const auto run = [&](auto silu) {
        launch<group_norm_apply_kernel<T, V, decltype(silu)::value, TWO>>(
            "group_norm_apply", group_norm_segment_grid(shape, width), kGroupNormThreads, sizeof(float) * 3 * width,
            stream, y.as<T>(), sides_of<T, TWO>(x), stats, gamma, beta, modulation, shape, width,
            group_norm_segment(shape.hw));
      };
      shape.silu ? run(std::true_type{}) : run(std::false_type{});
    });
  });
}

}  // namespace ito
