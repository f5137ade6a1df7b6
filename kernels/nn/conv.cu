// SPDX-License-Identifier: Apache-2.0
// Direct convolution, NHWC activations, KRSC filters; definitions as in seams/conv.h:
//   y[n,p,q,k]  = scale (bias[k] + residual[n,p,q,k]
//               + sum_{r,s,c} x[n, p st - pt + r, q st - pl + s, c] w[k,r,s,c])
//   dx[n,h,w,c] = sum_{r,s,k} dy[n, (h + pt - r) / st, (w + pl - s) / st, k] w[k,r,s,c]   where the divisions are exact
//   dw[k,r,s,c] = sum over the chunk's images and p, q of dy[n,p,q,k] x[n, p st - pt + r, q st - pl + s, c]
// Cuts, one item a thread and nothing shared: forward, an output element (16 lanes of sums along c, where x and w are
// both contiguous); dx and dw, a strip of 8 input channels (w and x contiguous). Every sum's order is fixed by the
// layer. Memory: caches do the reuse; forward reads R S C elements of x and w an output.
// Refused: shared-memory tiles. This is the reference and the fallback; the fast forms are the tensor-core kernels.
#include "kernels/nn/conv.h"

#include "dialect.h"

namespace ito {
namespace {

constexpr int kConvStrip = 8;

template <class T>
DEVICE void conv_forward_body(int64_t item, T* y, const T* x, const T* weight, ConvEpilogue epilogue, const T* residual,
                              ConvShape shape, int out_h, int out_w) {
  const int k = static_cast<int>(item % shape.k);
  const int64_t pixel = item / shape.k;
  const int q = static_cast<int>(pixel % out_w), p = static_cast<int>(pixel / out_w % out_h);
  const int64_t n = pixel / out_w / out_h;
  const int c = shape.c;
  Lanes16 sum;
  for (int r = 0; r < shape.r; ++r) {
    const int h = p * shape.stride - shape.pad_top + r;
    if (h < 0 || h >= shape.h) continue;
    for (int s = 0; s < shape.s; ++s) {
      const int w = q * shape.stride - shape.pad_left + s;
      if (w < 0 || w >= shape.w) continue;
      const T* in = x + ((n * shape.h + h) * shape.w + w) * c;
      const T* filter = weight + ((int64_t{1} * k * shape.r + r) * shape.s + s) * c;
      int j = 0;
      for (; j + 16 <= c; j += 16)
        for (int v = 0; v < 16; ++v) sum.lane[v] = fmaf(to_float(in[j + v]), to_float(filter[j + v]), sum.lane[v]);
      if (j < c) {
        for (int v = 0; v < 16; ++v)
          if (j + v < c) sum.lane[v] = fmaf(to_float(in[j + v]), to_float(filter[j + v]), sum.lane[v]);
      }
    }
  }
  float value = sum.total();
  if (epilogue.bias) value += epilogue.bias[k];
  if (residual) value += to_float(residual[item]);
  y[item] = from_float<T>(epilogue.scale * value);
}

template <class T, bool ADD>
DEVICE void conv_backward_data_body(int64_t item, T* dx, const T* dy, const T* weight, ConvShape shape, int out_h,
                                    int out_w) {
  const int c = shape.c, strips = (c + kConvStrip - 1) / kConvStrip;
  const int first = static_cast<int>(item % strips) * kConvStrip;
  const int width = c - first < kConvStrip ? c - first : kConvStrip;
  const int64_t pixel = item / strips;
  const int w = static_cast<int>(pixel % shape.w), h = static_cast<int>(pixel / shape.w % shape.h);
  const int64_t n = pixel / shape.w / shape.h;
  float sum[kConvStrip] = {};
  for (int r = 0; r < shape.r; ++r) {
    const int above = h + shape.pad_top - r, p = above / shape.stride;
    if (above < 0 || above % shape.stride != 0 || p >= out_h) continue;
    for (int s = 0; s < shape.s; ++s) {
      const int left = w + shape.pad_left - s, q = left / shape.stride;
      if (left < 0 || left % shape.stride != 0 || q >= out_w) continue;
      const T* out = dy + ((n * out_h + p) * out_w + q) * shape.k;
      const T* filter = weight + (int64_t{1} * r * shape.s + s) * c + first;
      const int64_t distance = int64_t{1} * shape.r * shape.s * c;  // of one output channel's filter from the next
      for (int k = 0; k < shape.k; ++k) {
        const float g = to_float(out[k]);
        for (int v = 0; v < kConvStrip; ++v)
          if (v < width) sum[v] = fmaf(g, to_float(filter[k * distance + v]), sum[v]);
      }
    }
  }
  for (int v = 0; v < kConvStrip; ++v) {
    if (v < width) {
      T* at = dx + pixel * c + first + v;
      *at = from_float<T>(ADD ? to_float(*at) + sum[v] : sum[v]);
    }
  }
}

template <class T>
DEVICE void conv_backward_weight_body(int64_t item, float* partial, const T* dy, const T* x, ConvShape shape, int out_h,
                                      int out_w, int n, int images) {
  const int c = shape.c, strips = (c + kConvStrip - 1) / kConvStrip;
  const int first = static_cast<int>(item % strips) * kConvStrip;
  const int width = c - first < kConvStrip ? c - first : kConvStrip;
  const int64_t tap = item / strips;
  const int s = static_cast<int>(tap % shape.s), r = static_cast<int>(tap / shape.s % shape.r);
  const int k = static_cast<int>(tap / shape.s / shape.r % shape.k);
  const int chunk = static_cast<int>(tap / shape.s / shape.r / shape.k);
  const int end = (chunk + 1) * images < n ? (chunk + 1) * images : n;
  float sum[kConvStrip] = {};
  for (int64_t image = int64_t{1} * chunk * images; image < end; ++image) {
    for (int p = 0; p < out_h; ++p) {
      const int h = p * shape.stride - shape.pad_top + r;
      if (h < 0 || h >= shape.h) continue;
      for (int q = 0; q < out_w; ++q) {
        const int w = q * shape.stride - shape.pad_left + s;
        if (w < 0 || w >= shape.w) continue;
        const float g = to_float(dy[((image * out_h + p) * out_w + q) * shape.k + k]);
        const T* in = x + ((image * shape.h + h) * shape.w + w) * c + first;
        for (int v = 0; v < kConvStrip; ++v)
          if (v < width) sum[v] = fmaf(g, to_float(in[v]), sum[v]);
      }
    }
  }
  for (int v = 0; v < kConvStrip; ++v)
    if (v < width) partial[tap * c + first + v] = sum[v];
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

static void check_conv(const char* kernel, const ConvShape& shape, int n) {
  ITO_CHECK(n >= 0 && shape.h > 0 && shape.w > 0 && shape.c > 0 && shape.k > 0 && shape.r > 0 && shape.s > 0 &&
                shape.stride > 0,
            kernel, ": n=", n, " h=", shape.h, " w=", shape.w, " c=", shape.c, " k=", shape.k, " r=", shape.r,
            " s=", shape.s, " stride=", shape.stride, ", expected positive sizes");
  ITO_CHECK(shape.pad_top >= 0 && shape.pad_left >= 0 && shape.h + shape.pad_top + shape.pad_bottom >= shape.r &&
                shape.w + shape.pad_left + shape.pad_right >= shape.s,
            kernel, ": the ", shape.r, "x", shape.s, " filter is larger than the padded ", shape.h, "x", shape.w,
            " input, or a padding is negative");
}

void conv_forward(Stream& stream, DataRef y, ConstDataRef x, ConstDataRef weight, const ConvEpilogue& epilogue,
                  const ConvShape& shape, int n) {
  check_conv("conv_forward", shape, n);
  const int64_t items = int64_t{1} * n * shape.out_h() * shape.out_w() * shape.k;
  by_type(x.type, [&](auto zero) {
    using T = decltype(zero);
    for_each<conv_forward_body<T>>("conv_forward", items, stream, y.as<T>(), x.as<T>(), weight.as<T>(), epilogue,
                                   epilogue.residual.as<T>(), shape, shape.out_h(), shape.out_w());
  });
}

void conv_backward_data(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef weight,
                        const ConvShape& shape, int n) {
  check_conv("conv_backward_data", shape, n);
  const int64_t items = int64_t{1} * n * shape.h * shape.w * ceil_div(shape.c, kConvStrip);
  by_type(dy.type, [&](auto zero) {
    using T = decltype(zero);
    if (write == Write::Add) {
      for_each<conv_backward_data_body<T, true>>("conv_backward_data", items, stream, dx.as<T>(), dy.as<T>(),
                                                 weight.as<T>(), shape, shape.out_h(), shape.out_w());
    } else {
      for_each<conv_backward_data_body<T, false>>("conv_backward_data", items, stream, dx.as<T>(), dy.as<T>(),
                                                  weight.as<T>(), shape, shape.out_h(), shape.out_w());
    }
  });
}

void conv_backward_weight(Stream& stream, float* partial, ConstDataRef dy, ConstDataRef x, const ConvShape& shape,
                          int n) {
  check_conv("conv_backward_weight", shape, n);
  const int images = images_per_chunk();
  const int64_t items = ceil_div(n, images) * shape.k * shape.r * shape.s * ceil_div(shape.c, kConvStrip);
  by_type(dy.type, [&](auto zero) {
    using T = decltype(zero);
    for_each<conv_backward_weight_body<T>>("conv_backward_weight", items, stream, partial, dy.as<T>(), x.as<T>(), shape,
                                           shape.out_h(), shape.out_w(), n, images);
  });
}

}  // namespace ito
