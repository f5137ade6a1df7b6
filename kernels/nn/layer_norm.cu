// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm with their modulation; formulas and shapes in layer_norm.h. With gain = weight (1 + scale) and
// g = dy gain the backward is (the chain rule through mean and variance)
//   m1 = mean(g), 0 for RMSNorm;  m2 = mean(g xhat);  dx = rstd (g - m1 - xhat m2)
//   S1 = sum over the image's rows of dy;  S2 = the same of dy xhat
//   dshift = S1;  dscale = weight S2 + bias S1;  dbias = (1 + scale) S1;  dweight = (1 + scale) S2
// The cut: a group of lanes a row, as many as it has strips of 16 bytes, a warp at most (a thread where a block is
// one); a lane sums its own strips in order, the strip is folded by halves and the group as a butterfly. Sums over an
// image's rows are kernels of their own, token_rows.cuh.
// Memory: the forward reads x three times (mean, variance about it, result), the second and third time from L1, and
// writes y: 2 s bytes an element. The backward reads dy and x for dx and once more where sums are wanted: 3 s, + s
// added, + 2 s with sums.
// Refused: variance as E[x^2] - mean^2, which loses digits as (mean / deviation)^2; the row in registers, whose number
// would make a kernel of each width; sums in the pass that makes dx, which would hold a partial a block and channel.
#include "kernels/nn/layer_norm.h"

#include "dialect.h"
#include "kernels/nn/map.cuh"
#include "kernels/nn/token_rows.cuh"

namespace ito {
namespace {

// A thread's row and strips. Every lane of a group has the same row; groups behind the last row have none.
struct RowWalk {
  int64_t row;
  int lane, lanes;
  DEVICE explicit RowWalk(int group) : lanes(group) {
    const int groups = kTokenThreads / lanes, thread = static_cast<int>(threadIdx.x);
    row = int64_t{1} * blockIdx.x * groups + thread / lanes;
    lane = thread % lanes;
  }
  // Calls f(first channel) for the lane's strips.
  template <int V, class F>
  DEVICE void strips(int c, F&& f) const {
    for (int j = lane * V; j < c; j += lanes * V) f(j);
  }
};

// gain = weight (1 + scale) of V channels.
template <int V>
DEVICE void load_gain(float (&gain)[V], const LayerNormAffine& affine, int64_t image, int j) {
  load_or(gain, affine.weight ? affine.weight + j : nullptr, 1.0f);
  if (affine.scale) {
    float scale[V];
    load_floats(scale, affine.scale + image * affine.stride + j);
    for_lanes<V>([&](int v) { gain[v] *= 1.0f + scale[v]; });
  }
}

// bias (1 + scale) + shift.
template <int V>
DEVICE void load_offset(float (&offset)[V], const LayerNormAffine& affine, int64_t image, int j) {
  load_or(offset, affine.shift ? affine.shift + image * affine.stride + j : nullptr, 0.0f);
  if (affine.bias) {
    float bias[V], scale[V];
    load_floats(bias, affine.bias + j);
    load_or(scale, affine.scale ? affine.scale + image * affine.stride + j : nullptr, 0.0f);
    for_lanes<V>([&](int v) { offset[v] = fmaf(bias[v], 1.0f + scale[v], offset[v]); });
  }
}

template <class T, int V>
KERNEL void layer_norm_forward_kernel(T* y, float* stats, const T* x, LayerNormAffine affine, LayerNormShape shape,
                                      int lanes) {
  const RowWalk walk(lanes);
  const int c = shape.c;
  const bool has_row = walk.row < int64_t{1} * shape.n * shape.rows;
  const int64_t row = has_row ? walk.row : 0;  // every lane takes part in the shuffles
  const T* from = x + row * c;
  float mean = 0;
  if (shape.centred) {
    float part[V] = {};
    walk.template strips<V>(c, [&](int j) {
      float in[V];
      load_floats(in, from + j);
      for_lanes<V>([&](int v) { part[v] += in[v]; });
    });
    mean = lanes_total(sum_of_strip(part), lanes) / static_cast<float>(c);
  }
  float part[V] = {};
  walk.template strips<V>(c, [&](int j) {
    float in[V];
    load_floats(in, from + j);
    for_lanes<V>([&](int v) {
      const float d = in[v] - mean;
      part[v] = fmaf(d, d, part[v]);
    });
  });
  const float square = lanes_total(sum_of_strip(part), lanes);
  const float rstd = 1.0f / sqrtf(square / static_cast<float>(c) + shape.eps);
  if (has_row) {
    const int64_t image = row / shape.rows;
    T* to = y + row * c;
    walk.template strips<V>(c, [&](int j) {
      float in[V], gain[V], offset[V];
      load_floats(in, from + j);
      load_gain(gain, affine, image, j);
      load_offset(offset, affine, image, j);
      for_lanes<V>([&](int v) { in[v] = fmaf((in[v] - mean) * rstd, gain[v], offset[v]); });
      store_floats(to + j, in);
    });
    if (walk.lane == 0) {
      float* own = stats + row * (shape.centred ? 2 : 1);
      if (shape.centred) *own++ = mean;
      *own = rstd;
    }
  }
}

// A row's mean and rstd as the forward wrote them.
struct RowStatistics {
  float mean, rstd;
  DEVICE RowStatistics(const float* stats, int64_t row, bool centred)
      : mean(centred ? stats[2 * row] : 0.0f), rstd(centred ? stats[2 * row + 1] : stats[row]) {}
};

template <class T, int V, bool ADD>
KERNEL void layer_norm_backward_kernel(T* dx, const T* dy, const T* x, const float* stats, LayerNormAffine affine,
                                       LayerNormShape shape, int lanes) {
  const RowWalk walk(lanes);
  const int c = shape.c;
  const bool has_row = walk.row < int64_t{1} * shape.n * shape.rows;
  const int64_t row = has_row ? walk.row : 0, image = row / shape.rows;
  const T *x_row = x + row * c, *dy_row = dy + row * c;
  const RowStatistics of(stats, row, shape.centred);
  float sum[V] = {}, product[V] = {};
  walk.template strips<V>(c, [&](int j) {
    float in[V], grad[V], gain[V];
    load_floats(in, x_row + j);
    load_floats(grad, dy_row + j);
    load_gain(gain, affine, image, j);
    for_lanes<V>([&](int v) {
      const float g = grad[v] * gain[v];
      sum[v] += g;
      product[v] = fmaf(g, (in[v] - of.mean) * of.rstd, product[v]);
    });
  });
  const float count = static_cast<float>(c);
  const float total = lanes_total(sum_of_strip(sum), lanes), m2 = lanes_total(sum_of_strip(product), lanes) / count;
  const float m1 = shape.centred ? total / count : 0.0f;
  if (has_row) {
    T* to = dx + row * c;
    walk.template strips<V>(c, [&](int j) {
      float in[V], grad[V], gain[V], out[V] = {};
      load_floats(in, x_row + j);
      load_floats(grad, dy_row + j);
      load_gain(gain, affine, image, j);
      if constexpr (ADD) load_floats(out, to + j);
      for_lanes<V>([&](int v) {
        const float xhat = (in[v] - of.mean) * of.rstd;
        const float own = of.rstd * fmaf(-xhat, m2, fmaf(grad[v], gain[v], -m1));
        out[v] = ADD ? out[v] + own : own;
      });
      store_floats(to + j, out);
    });
  }
}

template <class T>
KERNEL void layer_norm_sums_kernel(LayerNormGradients gradients, const T* dy, const T* x, const float* stats,
                                   LayerNormAffine affine, LayerNormShape shape) {
  SHARED(float, fold, 2 * kSumFold);
  const StripPlace place(blockIdx.x, shape.c);
  const int64_t first_row = place.image * shape.rows;
  sum_tokens<2>(fold, shape.rows, place.width, [&](int r) {
    const int64_t row = first_row + r, at = row * shape.c + place.first;
    const RowStatistics of(stats, row, shape.centred);
    const T *x_row = x + at, *dy_row = dy + at;
    return [=](int j, float(&terms)[2]) {
      const float g = to_float(dy_row[j]);
      terms[0] = g;
      terms[1] = g * ((to_float(x_row[j]) - of.mean) * of.rstd);
    };
  });
  const bool add = gradients.modulation_write == Write::Add;
  BLOCK_LOOP(i, place.width) {
    const int64_t j = place.first + i, of_image = place.image * affine.stride + j, partial = place.image * shape.c + j;
    const float s1 = fold[i], s2 = fold[kSumFold + i];
    const float gain = affine.scale ? 1.0f + affine.scale[of_image] : 1.0f;
    if (gradients.dweight_partial) gradients.dweight_partial[partial] = gain * s2;
    if (gradients.dbias_partial) gradients.dbias_partial[partial] = gain * s1;
    if (gradients.dscale) {
      const float weighted = affine.weight ? affine.weight[j] * s2 : s2;
      write_element(gradients.dscale, of_image, add, affine.bias ? fmaf(affine.bias[j], s1, weighted) : weighted);
    }
    if (gradients.dshift) write_element(gradients.dshift, of_image, add, s1);
  }
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

static void check_layer_norm(const char* kernel, const LayerNormAffine& affine, const LayerNormShape& shape) {
  ITO_CHECK(shape.n >= 0 && shape.rows > 0 && shape.c > 0, kernel, ": N ", shape.n, ", rows ", shape.rows, ", C ",
            shape.c, ", expected positive sizes");
  ITO_CHECK(!(affine.scale || affine.shift) || shape.n <= 1 || affine.stride >= shape.c, kernel,
            ": rows of scale and shift at distance ", affine.stride, ", expected at least ", shape.c);
}

// f(strip, lanes, blocks): how rows are cut, by their width and type alone where tensors are aligned.
template <class T, class F>
static void by_rows_of(const LayerNormAffine& affine, const LayerNormShape& shape,
                       std::initializer_list<const void*> tensors, F&& f) {
  // Modulation is read as fp32 packs, so its rows are to be aligned as tensors are.
  const bool rows_aligned = aligned({affine.weight, affine.bias, affine.scale, affine.shift}) &&
                            (!(affine.scale || affine.shift) || affine.stride % 4 == 0);
  const void* odd = reinterpret_cast<const void*>(uintptr_t{1});
  const void* modulation = rows_aligned ? nullptr : odd;
  const void* first = aligned(tensors) ? nullptr : odd;
  by_token_strip<T>(shape.c, {modulation, first}, [&](auto strip) {
    const int lanes = lanes_of_row(static_cast<int>(ceil_div(shape.c, decltype(strip)::value)));
    f(strip, lanes, Dim3(ceil_div(int64_t{1} * shape.n * shape.rows, kTokenThreads / lanes)));
  });
}

void layer_norm_forward(Stream& stream, DataRef y, float* stats, ConstDataRef x, const LayerNormAffine& affine,
                        const LayerNormShape& shape) {
  check_layer_norm("layer_norm_forward", affine, shape);
  check_same_type("layer_norm_forward", y.type, x.type);
  by_type(x.type, [&](auto zero) {
    using T = decltype(zero);
    by_rows_of<T>(affine, shape, {y.data, x.data}, [&](auto strip, int lanes, const Dim3& grid) {
      launch<layer_norm_forward_kernel<T, decltype(strip)::value>>("layer_norm_forward", grid, kTokenThreads, 0, stream,
                                                                   y.as<T>(), stats, x.as<T>(), affine, shape, lanes);
    });
  });
}

void layer_norm_backward(Stream& stream, const LayerNormGradients& gradients, ConstDataRef dy, ConstDataRef x,
                         const float* stats, const LayerNormAffine& affine, const LayerNormShape& shape) {
  check_layer_norm("layer_norm_backward", affine, shape);
  check_same_type("layer_norm_backward", dy.type, x.type);
  ITO_CHECK((!gradients.dscale || affine.scale) && (!gradients.dshift || affine.shift),
            "layer_norm_backward: a gradient of scale or shift is wanted but the norm has none");
  by_type(x.type, [&](auto zero) {
    using T = decltype(zero);
    if (gradients.dx) {
      check_same_type("layer_norm_backward", gradients.dx.type, x.type);
      by_rows_of<T>(affine, shape, {gradients.dx.data, dy.data, x.data}, [&](auto strip, int lanes, const Dim3& grid) {
        constexpr int V = decltype(strip)::value;
        const auto run = [&](auto add) {
          launch<layer_norm_backward_kernel<T, V, decltype(add)::value>>("layer_norm_backward", grid, kTokenThreads, 0,
                                                                         stream, gradients.dx.as<T>(), dy.as<T>(),
                                                                         x.as<T>(), stats, affine, shape, lanes);
        };
        gradients.write == Write::Add ? run(std::true_type{}) : run(std::false_type{});
      });
    }
    if (gradients.dweight_partial || gradients.dbias_partial || gradients.dscale || gradients.dshift)
      launch<layer_norm_sums_kernel<T>>("layer_norm_sums", Dim3(shape.n * ceil_div(shape.c, kStripChannels)),
                                        kTokenThreads, 0, stream, gradients, dy.as<T>(), x.as<T>(), stats, affine,
                                        shape);
  });
}

}  // namespace ito
