// SPDX-License-Identifier: Apache-2.0
// See the header. Independent elements, but for the residual's norm: block = image, in double, so that an image's bits
// do not know its batch. Bytes an element: x 4, pred s, and 4 or s a further operand.
#include "kernels/inverse/guidance.h"

#include "dialect.h"

namespace ito {
namespace {

constexpr int kResidualThreads = 512;

template <class T>
struct Estimates {
  const float* x;
  const T* pred;
  bool wide;
  int c;
  const ReverseRow* rows;
  const int64_t* row;

  // The place of the answer to element i.
  DEVICE int64_t answer(int64_t i) const { return wide ? i + i / c * c : i; }
  DEVICE float unclipped(int64_t i) const {
    const ReverseRow& k = rows[*row];
    return fmaf(k.x0_from_pred, to_float(pred[answer(i)]), k.x0_from_x * x[i]);
  }
  DEVICE bool clips(int64_t i) const {
    const float clip = rows[*row].clip;
    return clip > 0.0f && !(fabsf(unclipped(i)) < clip);
  }
};

template <class T>
Estimates<T> estimates_of(const EstimateInputs& in) {
  return {in.x, in.pred.as<T>(), in.wide, in.c, in.rows, in.row};
}

template <class T>
DEVICE void estimate_item(int64_t i, float* d, Estimates<T> estimates) {
  const float value = estimates.unclipped(i), clip = estimates.rows[*estimates.row].clip;
  d[i] = clip > 0.0f ? fminf(fmaxf(value, -clip), clip) : value;
}

template <class T>
DEVICE void cotangent_item(int64_t i, T* cotangent, const float* u, Estimates<T> estimates) {
  const int64_t at = estimates.answer(i);
  const float value = estimates.clips(i) ? 0.0f : estimates.rows[*estimates.row].x0_from_pred * u[i];
  cotangent[at] = from_float<T>(value);
  if (estimates.wide) cotangent[at + estimates.c] = from_float<T>(0.0f);
}

template <class T>
DEVICE void gradient_item(int64_t i, float* g, const float* u, const T* gradient, float first_input_scale,
                          Estimates<T> estimates) {
  const int64_t number = *estimates.row;
  const float scale = number > 0 ? estimates.rows[number - 1].next_input_scale : first_input_scale;
  const float direct = estimates.clips(i) ? 0.0f : estimates.rows[number].x0_from_x * u[i];
  g[i] = fmaf(scale, to_float(gradient[i]), direct);
}

KERNEL void residual_kernel(float* r, const float* y, const float* h, bool normalised, int64_t m) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * m;
  double sum = 0;
  BLOCK_LOOP(i, m) {
    const float value = y[first + i] - h[first + i];
    sum += static_cast<double>(value) * value;
  }
  sum = block_sum(sum);
  const double norm = sqrt(sum) > 1e-12 ? sqrt(sum) : 1e-12;
  const float scale = normalised ? static_cast<float>(1.0 / norm) : 1.0f;
  BLOCK_LOOP(i, m) r[first + i] = scale * (y[first + i] - h[first + i]);
}

void check(const char* name, const EstimateInputs& in) {
  ITO_CHECK(in.n >= 0 && in.pixels > 0 && in.c > 0 && in.x && in.pred && in.rows && in.row, name, ": N ", in.n,
            ", pixels ", in.pixels, ", C ", in.c, ", expected positive sizes, a state, an answer and a row");
}

int64_t count_of(const EstimateInputs& in) {
  return int64_t{in.n} * in.pixels * in.c;
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void estimate_x0(Stream& stream, float* d, const EstimateInputs& in) {
  check("estimate_x0", in);
  by_type(in.pred.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<estimate_item<T>>("estimate_x0", count_of(in), stream, d, estimates_of<T>(in));
  });
}

void set_guidance_cotangent(Stream& stream, DataRef cotangent, const float* u, const EstimateInputs& in) {
  check("set_guidance_cotangent", in);
  by_type(in.pred.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<cotangent_item<T>>("set_guidance_cotangent", count_of(in), stream, cotangent.as<T>(), u,
                                estimates_of<T>(in));
  });
}

void finish_guidance(Stream& stream, float* g, const float* u, ConstDataRef gradient, float first_input_scale,
                     const EstimateInputs& in) {
  check("finish_guidance", in);
  by_type(in.pred.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<gradient_item<T>>("finish_guidance", count_of(in), stream, g, u, gradient.as<T>(), first_input_scale,
                               estimates_of<T>(in));
  });
}

void measure_residual(Stream& stream, float* r, const float* y, const float* h, bool normalised, int n, int64_t m) {
  ITO_CHECK(n >= 0 && m > 0 && r && y && h, "measure_residual: N ", n, ", M ", m,
            ", expected positive sizes and three places");
  launch<residual_kernel>("measure_residual", Dim3(n), kResidualThreads, 0, stream, r, y, h, normalised, m);
}

}  // namespace ito
