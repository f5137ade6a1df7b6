// SPDX-License-Identifier: Apache-2.0
// The closed forms against their definitions in fp64, and their derivatives against finite differences.
#include "kernels/diffusion/toy.h"

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

constexpr int kImages = 3, kSize = 37;
constexpr float kTimesteps[kImages] = {0, 0.6f, 987};
constexpr float kLevels[kImages][2] = {{1, 0.02f}, {0.6f, 0.8f}, {1, 50}};
constexpr ToyForm kForms[] = {ToyForm::A, ToyForm::B, ToyForm::C, ToyForm::S, ToyForm::H};

double defined(ToyForm form, double x, size_t image) {
  const double t = kTimesteps[image];
  switch (form) {
    case ToyForm::A:
      return x * t / (t + 1);
    case ToyForm::B:
      return x * t / (t + 1) + 0.02 * std::sin(3 * x + 0.05 * t);
    case ToyForm::C:
      return 0.8 * std::sin(x + 0.7 * t);
    case ToyForm::S: {
      const double s = static_cast<double>(kLevels[image][1]) / kLevels[image][0];
      return -(x - 0.5 * std::tanh(x)) / (s * s + 0.25);
    }
    case ToyForm::H:
      return 0.8 * std::sin(x + 3 * t);
  }
  return NAN;
}

template <class T>
class Toy : public ::testing::Test {};
TYPED_TEST_SUITE(Toy, StorageTypes);

// In double but for the last roundings; sines are right to 1e-12 there.
TYPED_TEST(Toy, MatchesItsDefinition) {
  using T = TypeParam;
  for (const ToyForm form : kForms) {
    Stream stream;
    const std::string what = join_text("form ", static_cast<int>(form));
    Values x = stored<T>(random_values(kImages * kSize, 1, 2));
    x[0] = -40, x[1] = 40;  // where the hyperbolic tangent is flat
    Values at;
    for (size_t i = 0; i < kImages; ++i) {
      if (asks_level(form))
        at.insert(at.end(), {kLevels[i][0], kLevels[i][1]});
      else
        at.push_back(kTimesteps[i]);
    }
    const Values dy = stored<T>(random_values(x.size(), 2));
    DeviceArray<T> device_x(stream, x), device_dy(stream, dy), y(stream, x.size());
    DeviceArray<float> device_at(stream, at);
    toy_forward(stream, y.data(), device_x.data(), device_at, form, kImages, kSize);
    Values want(x.size()), want_gradient(x.size());
    const double step = 1e-5;
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t image = i / kSize;
      want[i] = defined(form, x[i], image);
      want_gradient[i] = dy[i] * (defined(form, x[i] + step, image) - defined(form, x[i] - step, image)) / (2 * step);
    }
    const double rounding = kRound<T> + kRoundFloat;
    expect_close(what, y.values(), want, rounding, 1e-11);
    // The differences are right to step^2, and to 1e-16 / step of values of up to 40.
    expect_set_and_added<T>(
        stream, what + " dx", want_gradient, rounding, 1e-8, Values(x.size(), 40.0), [&](T* dx, Write write) {
          toy_backward(stream, dx, write, device_dy.data(), device_x.data(), device_at, form, kImages, kSize);
        });
  }
}

}  // namespace
}  // namespace ito::test
