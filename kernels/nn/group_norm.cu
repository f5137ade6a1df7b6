// SPDX-License-Identifier: Apache-2.0
// GroupNorm forward (Wu and He 2018) with time embedding, scale-shift and SiLU:
//   u = x + temb[n,c];  z = (u - mean[n,g]) rstd[n,g] gamma[c] (1 + scale[n,c]) + beta[c] (1 + scale[n,c]) + shift[n,c]
//   y = z sigmoid(z) or z;  rstd = 1 / sqrt(variance + eps), biased variance
// Shapes: x, y (N, HW, C); stats (N, G, 2). The cut: see group_norm_slice.cuh.
// Memory: x is read three times (mean, variance about the mean, result) and y written once; the second and third read
// find the slice in L2 (CPU: L1 or L2), so that DRAM sees 2 sizeof(T) bytes an element.
// Refused: variance as E[u^2] - mean^2 in one read. It loses digits as (mean / deviation)^2, and the read it saves is
// from cache. Large images on a GPU: group_norm_spread.cu.
#include "kernels/nn/group_norm.h"

#include "dialect.h"
#include "kernels/nn/group_norm_slice.cuh"

namespace ito {
namespace {

template <class T, int V, bool SILU, bool TWO>
KERNEL void group_norm_forward_kernel(T* y, float* stats, Sides<const T, TWO> x, const float* gamma, const float* beta,
                                      GroupNormModulation modulation, GroupNormShape shape, int width) {
  const int slices = shape.c / width;
  const int64_t image = blockIdx.x / slices;
  const int first = static_cast<int>(blockIdx.x % slices) * width;
  const int c = shape.c, hw = shape.hw;
  const int group_size = c / shape.groups, slice_groups = width / group_size, first_group = first / group_size;
  const SliceWalk walk(width, V, kGroupNormThreads, static_cast<int>(threadIdx.x));

  double* fold = dyn_shared<double>();                                 // (rows, width)
  float* offset = reinterpret_cast<float*>(fold + walk.rows * width);  // (width): temb, then temb - mean
  float* scale = offset + width;                                       // (width)
  float* shift = scale + width;                                        // (width)
  float* group = shift + width;                                        // (slice_groups): mean, then rstd

  const float* temb = modulation.temb ? modulation.temb + image * modulation.temb_stride + first : nullptr;
  const float* modulate =
      modulation.scale_shift ? modulation.scale_shift + image * modulation.scale_shift_stride + first : nullptr;
  const auto x_slice = x.from(image * hw * c + first);
  T* y_slice = y + image * hw * c + first;

  BLOCK_LOOP(j, width) offset[j] = temb ? temb[j] : 0.0f;
  block_sync();

  sum_pixels<1, V>(fold, walk, width, hw, [&](int j) {
    const auto o = Packed<float, V>::load(offset + j);
    const auto strip = x.strip(shape, image, first + j);
    return [=](int p, float(&part)[1][V]) {
      float in[V];
      load_floats(in, x_slice.at(strip, int64_t{1} * p * c + j, p));
      for_lanes<V>([&](int v) { part[0][v] += in[v] + o[v]; });
    };
  });
  const double count = static_cast<double>(hw) * group_size;
  BLOCK_LOOP(g, slice_groups) {
    double sum = 0;
    for (int j = 0; j < group_size; ++j) sum += fold[g * group_size + j];
    group[g] = static_cast<float>(sum / count);
    stats[(image * shape.groups + first_group + g) * 2] = group[g];
  }
  block_sync();
  BLOCK_LOOP(j, width) offset[j] -= group[j / group_size];
  block_sync();

  sum_pixels<1, V>(fold, walk, width, hw, [&](int j) {
    const auto o = Packed<float, V>::load(offset + j);
    const auto strip = x.strip(shape, image, first + j);
    return [=](int p, float(&part)[1][V]) {
      float in[V];
      load_floats(in, x_slice.at(strip, int64_t{1} * p * c + j, p));
      for_lanes<V>([&](int v) {
        const float d = in[v] + o[v];
        part[0][v] = fmaf(d, d, part[0][v]);
      });
    };
  });
  BLOCK_LOOP(g, slice_groups) {
    double sum = 0;
    for (int j = 0; j < group_size; ++j) sum += fold[g * group_size + j];
    group[g] = static_cast<float>(1.0 / sqrt(sum / count + static_cast<double>(shape.eps)));
    stats[(image * shape.groups + first_group + g) * 2 + 1] = group[g];
  }
  block_sync();
  BLOCK_LOOP(j, width) {
    const float gain = modulate ? 1.0f + modulate[j] : 1.0f;
    scale[j] = gamma[first + j] * group[j / group_size] * gain;
    shift[j] = modulate ? fmaf(beta[first + j], gain, modulate[c + j]) : beta[first + j];
  }
  block_sync();

  for_pixels<V>(walk, hw, [&](int j) {
    const auto o = Packed<float, V>::load(offset + j);
    const auto a = Packed<float, V>::load(scale + j);
    const auto b = Packed<float, V>::load(shift + j);
    const auto strip = x.strip(shape, image, first + j);
    return [=](int p) {
      const int64_t at = int64_t{1} * p * c + j;
      float f[V];
      load_floats(f, x_slice.at(strip, at, p));
      for_lanes<V>([&](int v) {
        const float z = fmaf(f[v] + o[v], a[v], b[v]);
        f[v] = SILU ? z * sigmoid(z) : z;
      });
      store_floats(y_slice + at, f);
    };
  });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void group_norm_forward(Stream& stream, DataRef y, float* stats, const GroupNormInput& x, const float* gamma,
                        const float* beta, const GroupNormModulation& modulation, const GroupNormShape& shape,
                        float* workspace) {
  check_group_norm("group_norm_forward", shape, x);
  check_group_norm("group_norm_forward", shape, y.data);
  if (group_norm_spreads(shape)) {
    group_norm_statistics(stream, stats, x, modulation, shape, workspace);
    group_norm_apply(stream, y, x, stats, gamma, beta, modulation, shape);
    return;
  }
  by_type(x.x.type, [&](auto zero) {
    using T = decltype(zero);
    by_strip<T>(shape, x, [&](auto strip, auto two) {
      constexpr int V = decltype(strip)::value;
      constexpr bool TWO = decltype(two)::value;
      const int width = group_norm_slice<T, V>(shape);
      const size_t smem = group_norm_fold_bytes<T, V>(width, 1) + sizeof(float) * 4 * width;
      const Dim3 grid(int64_t{1} * shape.n * (shape.c / width));
      const auto run = [&](auto silu) {
        launch<group_norm_forward_kernel<T, V, decltype(silu)::value, TWO>>(
            "group_norm_forward", grid, kGroupNormThreads, smem, stream, y.as<T>(), stats, sides_of<T, TWO>(x), gamma,
            beta, modulation, shape, width);
      };
      shape.silu ? run(std::true_type{}) : run(std::false_type{});
    });
  });
}

bool group_norm_spreads(const GroupNormShape& shape) {
  return WARP > 1 && group_norm_segments(shape.hw) > 1;
}

size_t group_norm_forward_workspace(const GroupNormShape& shape) {
  return group_norm_spreads(shape) ? sizeof(float) * 2 * shape.n * group_norm_segments(shape.hw) * shape.c : 0;
}

size_t group_norm_backward_workspace(const GroupNormShape& shape) {
  if (!group_norm_spreads(shape)) return 0;
  return sizeof(float) * shape.n * (int64_t{3} * group_norm_segments(shape.hw) * shape.c + 2 * shape.groups);
}

}  // namespace ito
