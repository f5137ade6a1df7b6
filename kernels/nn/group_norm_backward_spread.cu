// SPDX-License-Identifier: Apache-2.0
// GroupNorm's backward with a group over several blocks: formulas in group_norm_backward.cu.
// Three kernels: a block has a slice of channels and a segment of pixels (group_norm_slice.cuh) and leaves its three
// sums a channel; then a block a slice folds the segments and writes what is a number a channel or a group; then every
// block has its segment of dx. A thread has the loads of 2 pixels on their way, x and dy, 4 of 16 bytes; sums are fp32
// over a thread's pixels of a segment and fp64 above, in index order. Memory: 2 sizeof(T) bytes an element for the sums
// and 3 sizeof(T) for dx (4 for Write::Add), which walks from the last image to the first, since L2 holds what the sums
// read last; 12 bytes a channel and segment between them. Where a convolution's data gradient has left dz in place of
// dy, and the sums, the first kernel is not launched and the last one has no silu'.
#include "dialect.h"
#include "kernels/nn/group_norm.h"
#include "kernels/nn/group_norm_slice.cuh"

namespace ito {
namespace {

constexpr int kBatch = 2;  // pixels of a thread on their way at a time

template <bool SILU>
DEVICE float gradient_of_z(float dy, float z) {
  return SILU ? dy * silu_gradient(z) : dy;
}

template <class T, int V, bool SILU, bool TWO>
KERNEL void group_norm_segment_sums_kernel(float* partials, const T* dy, Sides<const T, TWO> x, const float* stats,
                                           const float* gamma, const float* beta, GroupNormModulation modulation,
                                           GroupNormShape shape, int width, int segment_pixels) {
  const SegmentPlace place(blockIdx.x, shape, width, segment_pixels);
  const SliceWalk walk(width, V, kGroupNormThreads, static_cast<int>(threadIdx.x));
  const int c = shape.c, distance = walk.rows * width;
  float* fold = dyn_shared<float>();  // (3, rows, width)
  float* offset = fold + 3 * distance;
  const SliceChain chain{offset, offset + width, offset + 2 * width};
  const int64_t slice = place.image * shape.hw * c + place.first;
  set_chain(chain, stats, gamma, beta, modulation, shape, place.image, place.first, width);
  block_sync();

  if (walk.row < walk.rows) {
    for (int strip = walk.lane; strip < walk.strips; strip += walk.lanes) {
      const auto side = x.strip(shape, place.image, place.first + strip * V);
      float o[V], a[V], b[V], sum_dz[V] = {}, sum_dz_d[V] = {}, sum_d[V] = {};
      load_floats(o, chain.offset + strip * V);
      load_floats(a, chain.scale + strip * V);
      load_floats(b, chain.shift + strip * V);
      for_batches<kBatch>(walk, place.p0, place.p1, [&](int p, auto size) {
        constexpr int U = decltype(size)::value;
        float f[U][V], g[U][V];
        for (int u = 0; u < U; ++u) {
          const int64_t at = slice + int64_t{1} * (p + u * walk.rows) * c + strip * V;
          load_floats(f[u], x.at(side, at, p + u * walk.rows));
          load_floats(g[u], dy + at);
        }
        for (int u = 0; u < U; ++u) {
          for_lanes<V>([&](int v) {
            const float d = f[u][v] + o[v];
            const float dz = gradient_of_z<SILU>(g[u][v], fmaf(d, a[v], b[v]));
            sum_dz[v] += dz;
            sum_dz_d[v] = fmaf(dz, d, sum_dz_d[v]);
            sum_d[v] += d;
          });
        }
      });
      float* to = fold + walk.row * width + strip * V;
      store_floats(to, sum_dz);
      store_floats(to + distance, sum_dz_d);
      store_floats(to + 2 * distance, sum_d);
    }
  }
  block_sync();

  const int segments = (shape.hw + segment_pixels - 1) / segment_pixels;
  float* to = partials + 3 * (place.image * segments + place.segment) * c + place.first;
  BLOCK_LOOP(column, 3 * width) {
    const int sum = static_cast<int>(column) / width, j = static_cast<int>(column) % width;
    double total = 0;
    for (int row = 0; row < walk.rows; ++row) total += fold[sum * distance + row * width + j];
    to[sum * c + j] = static_cast<float>(total);
  }
}

// group_terms (N, G, 2): rstd m1, rstd^2 m2.
KERNEL void group_norm_fold_sums_kernel(float* group_terms, GroupNormGradients gradients, const float* partials,
                                        const float* stats, const float* gamma, const float* beta,
                                        GroupNormModulation modulation, GroupNormShape shape, int width,
                                        int segment_pixels) {
  const int slices = shape.c / width, segments = (shape.hw + segment_pixels - 1) / segment_pixels;
  const int64_t image = blockIdx.x / slices;
  const int first = static_cast<int>(blockIdx.x % slices) * width;
  const int c = shape.c, group_size = c / shape.groups;
  double* fold = dyn_shared<double>();                           // (3, width)
  float* constant = reinterpret_cast<float*>(fold + 3 * width);  // (width)
  float* slope = constant + width;
  const float* of_image = partials + 3 * image * segments * c + first;

  BLOCK_LOOP(column, 3 * width) {
    const int sum = static_cast<int>(column) / width, j = static_cast<int>(column) % width;
    double total = 0;
    for (int s = 0; s < segments; ++s) total += of_image[(int64_t{3} * s + sum) * c + j];
    fold[column] = total;
  }
  block_sync();
  const ChannelSums sums{fold, fold + width, fold + 2 * width};
  set_group_terms(constant, slope, sums, stats, gamma, modulation, shape, image, first, width);
  write_channel_gradients(gradients, constant, slope, sums, stats, gamma, beta, modulation, shape, image, first, width);
  BLOCK_LOOP(g, width / group_size) {
    float* to = group_terms + 2 * (image * shape.groups + first / group_size + g);
    to[0] = constant[g * group_size];
    to[1] = slope[g * group_size];
  }
}

template <class T, int V, bool SILU, bool ADD, bool TWO>
KERNEL void group_norm_backward_apply_kernel(Targets<T, ADD, TWO> dx, const float* group_terms, const T* dy,
                                             Sides<const T, TWO> x, const float* stats, const float* gamma,
                                             const float* beta, GroupNormModulation modulation, GroupNormShape shape,
                                             int width, int segment_pixels) {
  const SegmentPlace place(gridDim.x - 1 - int64_t{blockIdx.x}, shape, width, segment_pixels);
  const SliceWalk walk(width, V, kGroupNormThreads, static_cast<int>(threadIdx.x));
  const int c = shape.c, group_size = c / shape.groups;
  float* offset = dyn_shared<float>();
  const SliceChain chain{offset, offset + width, offset + 2 * width};
  float* constant = offset + 3 * width;
  float* slope = constant + width;
  const int64_t slice = place.image * shape.hw * c + place.first;
  set_chain(chain, stats, gamma, beta, modulation, shape, place.image, place.first, width);
  BLOCK_LOOP(j, width) {
    const float* of_group =
        group_terms + 2 * (place.image * shape.groups + (place.first + static_cast<int>(j)) / group_size);
    constant[j] = of_group[0];
    slope[j] = of_group[1];
  }
  block_sync();

  if (walk.row < walk.rows) {
    for (int strip = walk.lane; strip < walk.strips; strip += walk.lanes) {
      const auto side = x.strip(shape, place.image, place.first + strip * V);
      float o[V], a[V], b[V], c0[V], c1[V];
      load_floats(o, chain.offset + strip * V);
      load_floats(a, chain.scale + strip * V);
      load_floats(b, chain.shift + strip * V);
      load_floats(c0, constant + strip * V);
      load_floats(c1, slope + strip * V);
      dx.by_write(side, [&](auto add) {
        constexpr bool kAdd = decltype(add)::value;
        for_batches<kBatch>(walk, place.p0, place.p1, [&](int p, auto size) {
          constexpr int U = decltype(size)::value;
          float f[U][V], g[U][V], out[U][V];
          for (int u = 0; u < U; ++u) {
            const int64_t at = slice + int64_t{1} * (p + u * walk.rows) * c + strip * V;
            load_floats(f[u], x.at(side, at, p + u * walk.rows));
            load_floats(g[u], dy + at);
            if constexpr (kAdd) load_floats(out[u], dx.to.at(side, at, p + u * walk.rows));
          }
          for (int u = 0; u < U; ++u) {
            for_lanes<V>([&](int v) {
              const float d = f[u][v] + o[v];
              const float dz = gradient_of_z<SILU>(g[u][v], fmaf(d, a[v], b[v]));
              const float du = fmaf(dz, a[v], -fmaf(d, c1[v], c0[v]));
              if constexpr (kAdd)
                out[u][v] += du;
              else
                out[u][v] = du;
            });
            const int64_t at = slice + int64_t{1} * (p + u * walk.rows) * c + strip * V;
            store_floats(dx.to.at(side, at, p + u * walk.rows), out[u]);
          }
        });
      });
    }
  }
}

// From dy; or, where sums over segments of so many pixels are given, from dz, which is then in dy's place.
void backward_spread(Stream& stream, const GroupNormGradients& gradients, ConstDataRef dy, const GroupNormInput& x,
                     const float* given, int given_pixels, const float* stats, const float* gamma, const float* beta,
                     const GroupNormModulation& modulation, const GroupNormShape& shape, float* workspace) {
  const int segment = group_norm_segment(shape.hw);
  const bool silu = shape.silu && !given;
  float* group_terms = workspace;                                     // (N, G, 2)
  float* partials = workspace + int64_t{2} * shape.n * shape.groups;  // (N, segments, 3, C), unless they are given
  by_type(x.x.type, [&](auto zero) {
    using T = decltype(zero);
    by_strip<T>(shape, x, [&](auto strip, auto two) {
      constexpr int V = decltype(strip)::value;
      constexpr bool TWO = decltype(two)::value;
      const int width = group_norm_slice<T, V>(shape), whole = group_norm_slice<bf16, 1>(shape);
      const Dim3 grid = group_norm_segment_grid(shape, width);
      const auto sums = [&](auto silu) {
        launch<group_norm_segment_sums_kernel<T, V, decltype(silu)::value, TWO>>(
            "group_norm_segment_sums", grid, kGroupNormThreads,
            group_norm_fold_bytes<T, V>(width, 3) / 2 + sizeof(float) * 3 * width, stream, partials, dy.as<T>(),
            sides_of<T, TWO>(x), stats, gamma, beta, modulation, shape, width, segment);
      };
      const auto apply = [&](auto silu, auto add) {
        constexpr bool ADD = decltype(add)::value;
        launch<group_norm_backward_apply_kernel<T, V, decltype(silu)::value, ADD, TWO>>(
            "group_norm_backward_apply", grid, kGroupNormThreads, sizeof(float) * 5 * width, stream,
            targets_of<T, ADD, TWO>(gradients, x), static_cast<const float*>(group_terms), dy.as<T>(),
            sides_of<T, TWO>(x), stats, gamma, beta, modulation, shape, width, segment);
      };
      if (!given) silu ? sums(std::true_type{}) : sums(std::false_type{});
      launch<group_norm_fold_sums_kernel>("group_norm_fold_sums", Dim3(int64_t{1} * shape.n * (shape.c / whole)),
                                          block_threads(128), (sizeof(double) * 3 + sizeof(float) * 2) * whole, stream,
                                          group_terms, gradients, given ? given : partials, stats, gamma, beta,
                                          modulation, shape, whole, given ? given_pixels : segment);
      by_write<TWO>(gradients.write,
                    [&](auto add) { silu ? apply(std::true_type{}, add) : apply(std::false_type{}, add); });
    });
  });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void group_norm_backward_spread(Stream& stream, const GroupNormGradients& gradients, ConstDataRef dy,
                                const GroupNormInput& x, const float* stats, const float* gamma, const float* beta,
                                const GroupNormModulation& modulation, const GroupNormShape& shape, float* workspace) {
  check_group_norm("group_norm_backward_spread", shape, gradients, x);
  backward_spread(stream, gradients, dy, x, nullptr, 0, stats, gamma, beta, modulation, shape, workspace);
}

void group_norm_backward_from_sums(Stream& stream, const GroupNormGradients& gradients, ConstDataRef dz,
                                   const GroupNormInput& x, const float* sums, int rows, const float* stats,
                                   const float* gamma, const float* beta, const GroupNormModulation& modulation,
                                   const GroupNormShape& shape, float* workspace) {
  check_group_norm("group_norm_backward_from_sums", shape, gradients, x);
  check_group_norm("group_norm_backward_from_sums", shape, dz.data);
  ITO_CHECK(sums && rows > 0 && shape.hw % rows == 0, "group_norm_backward_from_sums: sums over ", rows, " rows of ",
            shape.hw, " pixels, expected rows of equal number");
  backward_spread(stream, gradients, dz, x, sums, shape.hw / rows, stats, gamma, beta, modulation, shape, workspace);
}

}  // namespace ito
