// SPDX-License-Identifier: Apache-2.0
// Networks in closed form and their derivatives (formulas in the header), in double and rounded once: their angles are
// of hundreds of radians. Independent elements; bytes an element: x read, y written; dy read and dx written besides.
#include "kernels/diffusion/toy.h"

#include "dialect.h"
#include "kernels/dialect/double_math.h"

namespace ito {
namespace {

// A form's value and its derivative by x.
struct ToyAnswer {
  double value, slope;
};

DEVICE ToyAnswer scaled_sine(double scale, double factor, double angle) {
  double sine, cosine;
  double_sincos(angle, &sine, &cosine);
  return {scale * sine, scale * factor * cosine};
}

DEVICE ToyAnswer toy_answer(ToyForm form, double x, double t, double s) {
  if (form == ToyForm::C) return scaled_sine(0.8, 1.0, x + 0.7 * t);
  if (form == ToyForm::H) return scaled_sine(0.8, 1.0, x + 3.0 * t);
  if (form == ToyForm::S) {
    const double e = double_exp(2.0 * x), tanh = 1.0 - 2.0 / (e + 1.0), spread = s * s + 0.25;
    return {-(x - 0.5 * tanh) / spread, -(1.0 - 0.5 * (1.0 - tanh * tanh)) / spread};
  }
  const double part = t / (t + 1.0);
  ToyAnswer answer{x * part, part};
  if (form == ToyForm::B) {
    const ToyAnswer ripple = scaled_sine(0.02, 3.0, 3.0 * x + 0.05 * t);
    answer.value += ripple.value;
    answer.slope += ripple.slope;
  }
  return answer;
}

template <class T>
DEVICE ToyAnswer answer_at(int64_t i, const T* x, const float* at, ToyForm form, int64_t size) {
  const int64_t image = i / size;
  const bool level = asks_level(form);
  const double t = static_cast<double>(at[level ? 2 * image : image]);
  const double s = level ? static_cast<double>(at[2 * image + 1]) / t : 0.0;
  return toy_answer(form, static_cast<double>(to_float(x[i])), t, s);
}

template <class T>
DEVICE void toy_item(int64_t i, T* y, const T* x, const float* at, ToyForm form, int64_t size) {
  y[i] = from_float<T>(static_cast<float>(answer_at(i, x, at, form, size).value));
}

template <class T>
DEVICE void toy_backward_item(int64_t i, T* dx, bool add, const T* dy, const T* x, const float* at, ToyForm form,
                              int64_t size) {
  const double slope = answer_at(i, x, at, form, size).slope;
  const float value = static_cast<float>(slope * static_cast<double>(to_float(dy[i])));
  dx[i] = from_float<T>(add ? to_float(dx[i]) + value : value);
}

}  // namespace

void toy_forward(Stream& stream, DataRef y, ConstDataRef x, const float* at, ToyForm form, int n, int64_t size) {
  ITO_CHECK(n >= 0 && size > 0 && at, "toy_forward: N ", n, ", size ", size, ", expected positive sizes and a time");
  by_type(x.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<toy_item<T>>("toy_forward", n * size, stream, y.as<T>(), x.as<T>(), at, form, size);
  });
}

void toy_backward(Stream& stream, DataRef dx, Write write, ConstDataRef dy, ConstDataRef x, const float* at,
                  ToyForm form, int n, int64_t size) {
  ITO_CHECK(n >= 0 && size > 0 && at, "toy_backward: N ", n, ", size ", size, ", expected positive sizes and a time");
  by_type(x.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<toy_backward_item<T>>("toy_backward", n * size, stream, dx.as<T>(), write == Write::Add, dy.as<T>(),
                                   x.as<T>(), at, form, size);
  });
}

}  // namespace ito
