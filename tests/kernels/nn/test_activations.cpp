// SPDX-License-Identifier: Apache-2.0
// ReLU exactly, GELU in both forms and SwiGLU against fp64. u is one fp32 rounding. Phi(x) is off by 16 u at most,
// which is what its polynomial, its exponential (of a rounded x^2 / 2, where that matters times Phi's own smallness)
// and their product come to; the tanh form's sigmoid has 4 and its argument 4, of which |z| sigmoid'(z) is a quarter. A
// slope is two such terms, of which the second is at most 1.
#include "kernels/nn/activations.h"

#include "tests/cases/tokens.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/pointwise.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;

double phi(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0));
}
double twice_u(double x) {
  return 2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
}
double gelu(double x, Gelu form) {
  return x * (form == Gelu::Erf ? phi(x) : ref::sigmoid(twice_u(x)));
}
double gelu_slope(double x, Gelu form) {
  if (form == Gelu::Erf) return phi(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
  const double s = ref::sigmoid(twice_u(x)), inner = 2 * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
  return s + x * s * (1 - s) * inner;
}

// Every size at which something changes: near 0, the middle, the ends of the polynomial, and beyond them.
template <class T>
Values inputs() {
  Values x = random_values(2000, 1, 2.0);
  for (const double edge : {0.0, 1e-6, 0.5, 3.0, 5.5, 8.0, 13.0, 14.0, 16.0, 40.0, 1e10, 1e30})
    for (const double sign : {-1.0, 1.0}) x.push_back(sign * edge);
  return stored<T>(x);
}

template <class T>
class Activations : public ::testing::Test {
 protected:
  Stream stream;
};
TYPED_TEST_SUITE(Activations, StorageTypes);

TYPED_TEST(Activations, ReluAndItsSlope) {
  using T = TypeParam;
  const Values x = inputs<T>(), dy = stored<T>(random_values(x.size(), 2));
  Values want, want_dx;
  for (size_t i = 0; i < x.size(); ++i) want.push_back(std::max(x[i], 0.0)), want_dx.push_back(x[i] > 0 ? dy[i] : 0);
  const auto count = static_cast<int64_t>(x.size());
  DeviceArray<T> device_x(this->stream, x), y(this->stream, x.size()), device_dy(this->stream, dy);
  relu_forward(this->stream, y.data(), device_x.data(), count);
  EXPECT_EQ(y.values(), want);
  // What is added is rounded once more.
  expect_set_and_added<T>(this->stream, "dx", want_dx, kRound<T>, 0, want_dx, [&](DeviceArray<T>& dx, Write write) {
    relu_backward(this->stream, dx.data(), write, device_dy.data(), device_x.data(), count);
  });
}

TYPED_TEST(Activations, ReluOfNoNumberIsNone) {
  using T = TypeParam;
  DeviceArray<T> x(this->stream, Values{NAN}), y(this->stream, 1), dy(this->stream, Values{1});
  relu_forward(this->stream, y.data(), x.data(), 1);
  EXPECT_TRUE(std::isnan(y.values()[0]));
  relu_backward(this->stream, y.data(), Write::Set, dy.data(), x.data(), 1);
  EXPECT_TRUE(std::isnan(y.values()[0]));
}

TYPED_TEST(Activations, GeluAndItsSlope) {
  using T = TypeParam;
  for (const Gelu form : {Gelu::Erf, Gelu::Tanh}) {
    const Values x = inputs<T>(), dy = stored<T>(random_values(x.size(), 2));
    Values want, want_dx, size, size_dx;
    for (size_t i = 0; i < x.size(); ++i) {
      want.push_back(gelu(x[i], form)), want_dx.push_back(dy[i] * gelu_slope(x[i], form));
      // Far out on the left a number is 0 beside the smallest sigmoid, 1.6e-38, times x.
      size.push_back(std::fabs(x[i]) * (std::fabs(x[i]) < 1e5 ? 1 : 1e-30)), size_dx.push_back(std::fabs(dy[i]));
    }
    const auto count = static_cast<int64_t>(x.size());
    DeviceArray<T> device_x(this->stream, x), y(this->stream, x.size()), device_dy(this->stream, dy);
    gelu_forward(this->stream, y.data(), device_x.data(), form, count);
    expect_close("gelu", y.values(), want, kRound<T> + 2 * u, 16 * u, size);
    expect_set_and_added<T>(
        this->stream, "dx", want_dx, kRound<T> + 2 * u, 24 * u, size_dx, [&](DeviceArray<T>& dx, Write write) {
          gelu_backward(this->stream, dx.data(), write, device_dy.data(), device_x.data(), form, count);
        });
  }
}

TYPED_TEST(Activations, GeluOfNoNumberIsNoneAndOfALargeOneItself) {
  using T = TypeParam;
  DeviceArray<T> x(this->stream, Values{NAN, 3e38}), y(this->stream, 2), dy(this->stream, Values{1, 1});
  for (const Gelu form : {Gelu::Erf, Gelu::Tanh}) {
    gelu_forward(this->stream, y.data(), x.data(), form, 2);
    EXPECT_TRUE(std::isnan(y.values()[0]));
    EXPECT_EQ(y.values()[1], x.values()[1]);
    gelu_backward(this->stream, y.data(), Write::Set, dy.data(), x.data(), form, 2);
    EXPECT_TRUE(std::isnan(y.values()[0]));
    EXPECT_EQ(y.values()[1], 1);
  }
}

TYPED_TEST(Activations, GatedSilu) {
  using T = TypeParam;
  for (const bool gate_first : {false, true}) {
    for_each_case(cases::gated_silu_shapes(), [&](Stream& stream, GatedSiluShape shape) {
      shape.gate_first = gate_first;
      const int c = shape.c;
      const size_t count = size_t(shape.rows) * c;
      const Values x = stored<T>(random_values(2 * count, 3, 2.0)), dy = stored<T>(random_values(count, 4));
      Values want(count), want_dx(2 * count);
      for (size_t i = 0; i < count; ++i) {
        const size_t first = i / c * 2 * c + i % c, second = first + c;
        const size_t a = gate_first ? second : first, b = gate_first ? first : second;
        want[i] = x[a] * ref::silu(x[b]);
        want_dx[a] = dy[i] * ref::silu(x[b]), want_dx[b] = dy[i] * x[a] * ref::silu_derivative(x[b]);
      }
      DeviceArray<T> device_x(stream, x), y(stream, count), device_dy(stream, dy);
      gated_silu_forward(stream, y.data(), device_x.data(), shape);
      expect_close("y", y.values(), want, kRound<T> + 10 * u, 0);
      // The derivative is a sum of two terms of at most 1 and |x| / 4.
      Values size = absolute(want_dx);
      for (size_t i = 0; i < size.size(); ++i) size[i] += std::fabs(dy[i / (2 * c) * c + i % c]) * 8;
      expect_set_and_added<T>(stream, "dx", want_dx, kRound<T>, 12 * u, size, [&](DeviceArray<T>& dx, Write write) {
        gated_silu_backward(stream, dx.data(), write, device_dy.data(), device_x.data(), shape);
      });
    });
  }
}

}  // namespace
}  // namespace ito::test
