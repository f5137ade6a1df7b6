// SPDX-License-Identifier: Apache-2.0
// GroupNorm backward. With d = x + temb - mean, A = gamma rstd (1 + scale), z = d A + beta (1 + scale) + shift and
// dz = dy silu'(z), everything follows from three sums over the pixels of each channel,
//   S1 = sum dz,  S2 = rstd sum dz d,  S3 = sum d:
//   dshift = S1;  dscale = gamma S2 + beta S1;  dbeta = (1 + scale) S1;  dgamma = (1 + scale) S2
//   m1 = sum_{c in group} gamma (1 + scale) S1 / M;  m2 = the same of S2;  M = HW C / G
//   dx = A dz - rstd m1 - rstd^2 m2 d;  dtemb = sum over pixels of dx = A S1 - HW rstd m1 - rstd^2 m2 S3
// (the chain rule through mean and variance, e.g. Ioffe and Szegedy 2015, section 3.)
// Shapes: dy, x, dx (N, HW, C); partials, dtemb (N, C). The cut: see group_norm_slice.cuh; large images on
// a GPU: group_norm_backward_spread.cu.
// Memory: dy and x are read twice (once from cache), dx written once (read, too, for Write::Add): 3 sizeof(T) bytes an
// element from memory. silu'(z) is computed in both passes. Refused: keeping dz from the first pass, which would double
// the cache footprint to save one exponential.
#include "kernels/nn/group_norm.h"

#include "dialect.h"
#include "kernels/nn/group_norm_slice.cuh"

namespace ito {
namespace {

template <class T, int V, bool SILU, bool ADD, bool TWO>
KERNEL void group_norm_backward_kernel(Targets<T, ADD, TWO> dx, GroupNormGradients gradients, const T* dy,
                                       Sides<const T, TWO> x, const float* stats, const float* gamma, const float* beta,
                                       GroupNormModulation modulation, GroupNormShape shape, int width) {
  const int slices = shape.c / width;
  const int64_t image = blockIdx.x / slices;
  const int first = static_cast<int>(blockIdx.x % slices) * width;
  const int c = shape.c, hw = shape.hw;
  const SliceWalk walk(width, V, kGroupNormThreads, static_cast<int>(threadIdx.x));

  double* fold = dyn_shared<double>();  // (3, rows, width)
  const int sum_distance = walk.rows * width;
  float* offset = reinterpret_cast<float*>(fold + 3 * sum_distance);  // (width): temb - mean
  float* scale = offset + width;                                      // A
  float* shift = scale + width;
  float* constant = shift + width;  // (width): rstd m1
  float* slope = constant + width;  // (width): rstd^2 m2

  const int64_t slice = image * hw * c + first;
  const auto x_slice = x.from(slice);
  const T* dy_slice = dy + slice;
  const auto dx_slice = dx.to.from(slice);

  set_chain({offset, scale, shift}, stats, gamma, beta, modulation, shape, image, first, width);
  block_sync();

  sum_pixels<3, V>(fold, walk, width, hw, [&](int j) {
    const auto o = Packed<float, V>::load(offset + j);
    const auto a = Packed<float, V>::load(scale + j);
    const auto b = Packed<float, V>::load(shift + j);
    const auto strip = x.strip(shape, image, first + j);
    return [=](int p, float(&part)[3][V]) {
      const int64_t at = int64_t{1} * p * c + j;
      float in[V], grad[V];
      load_floats(in, x_slice.at(strip, at, p));
      load_floats(grad, dy_slice + at);
      for_lanes<V>([&](int v) {
        const float d = in[v] + o[v];
        const float dz = SILU ? grad[v] * silu_gradient(fmaf(d, a[v], b[v])) : grad[v];
        part[0][v] += dz;
        part[1][v] = fmaf(dz, d, part[1][v]);
        part[2][v] += d;
      });
    };
  });
  const ChannelSums sums{fold, fold + sum_distance, fold + 2 * sum_distance};
  set_group_terms(constant, slope, sums, stats, gamma, modulation, shape, image, first, width);
  write_channel_gradients(gradients, constant, slope, sums, stats, gamma, beta, modulation, shape, image, first, width);

  for_pixels<V>(walk, hw, [&](int j) {
    const auto o = Packed<float, V>::load(offset + j);
    const auto a = Packed<float, V>::load(scale + j);
    const auto b = Packed<float, V>::load(shift + j);
    const auto c0 = Packed<float, V>::load(constant + j);
    const auto c1 = Packed<float, V>::load(slope + j);
    const auto strip = x.strip(shape, image, first + j);
    return [=](int p) {
      const int64_t at = int64_t{1} * p * c + j;
      float in[V], grad[V], out[V] = {};
      load_floats(in, x_slice.at(strip, at, p));
      load_floats(grad, dy_slice + at);
      T* to = dx_slice.at(strip, at, p);
      dx.by_write(strip, [&](auto add) {
        if constexpr (decltype(add)::value) load_floats(out, to);
        for_lanes<V>([&](int v) {
          const float d = in[v] + o[v];
          const float dz = SILU ? grad[v] * silu_gradient(fmaf(d, a[v], b[v])) : grad[v];
          const float du = fmaf(dz, a[v], -fmaf(d, c1[v], c0[v]));
          out[v] = decltype(add)::value ? out[v] + du : du;
        });
        store_floats(to, out);
      });
    };
  });
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void group_norm_backward(Stream& stream, const GroupNormGradients& gradients, ConstDataRef dy, const GroupNormInput& x,
                         const float* stats, const float* gamma, const float* beta,
                         const GroupNormModulation& modulation, const GroupNormShape& shape, float* workspace) {
  check_group_norm("group_norm_backward", shape, gradients, x);
  check_group_norm("group_norm_backward", shape, dy.data);
  ITO_CHECK(!gradients.dtemb || shape.n <= 1 || modulation.temb_stride >= shape.c,
            "group_norm_backward: rows of dtemb at distance ", modulation.temb_stride, "; expected at least ", shape.c);
  ITO_CHECK(!gradients.dscale_shift || modulation.scale_shift,
            "group_norm_backward: dscale_shift is wanted but the norm has no scale_shift");
  if (group_norm_spreads(shape)) {
    group_norm_backward_spread(stream, gradients, dy, x, stats, gamma, beta, modulation, shape, workspace);
    return;
  }
  by_type(x.x.type, [&](auto zero) {
    using T = decltype(zero);
    by_strip<T>(shape, x, [&](auto strip, auto two) {
      constexpr int V = decltype(strip)::value;
      constexpr bool TWO = decltype(two)::value;
      const int width = group_norm_slice<T, V>(shape);
      const size_t smem = group_norm_fold_bytes<T, V>(width, 3) + sizeof(float) * 5 * width;
      const Dim3 grid(int64_t{1} * shape.n * (shape.c / width));
      const auto run = [&](auto silu, auto add) {
        constexpr bool ADD = decltype(add)::value;
        launch<group_norm_backward_kernel<T, V, decltype(silu)::value, ADD, TWO>>(
            "group_norm_backward", grid, kGroupNormThreads, smem, stream, targets_of<T, ADD, TWO>(gradients, x),
            gradients, dy.as<T>(), sides_of<T, TWO>(x), stats, gamma, beta, modulation, shape, width);
      };
      by_write<TWO>(gradients.write,
                    [&](auto add) { shape.silu ? run(std::true_type{}, add) : run(std::false_type{}, add); });
    });
  });
}

}  // namespace ito
