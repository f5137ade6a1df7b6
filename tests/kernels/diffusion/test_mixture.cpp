// SPDX-License-Identifier: Apache-2.0
// The exact answer of a Gaussian mixture and its pull-back against fp64 loops; the loops against finite differences;
// and that an image's bits do not depend on its batch.
#include "kernels/diffusion/mixture.h"

#include "tests/cases/mixture.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/mixture.h"

namespace ito::test {
namespace {

// Levels of data, of nearly pure noise, and of a state with its own scale.
constexpr float kLevels[][2] = {{0.9999f, 0.01f}, {0.6f, 0.8f}, {0.0063f, 0.99998f}, {1.0f, 3.0f}, {0, 1}};

struct Problem {
  explicit Problem(const MixtureShape& s) : shape(s) {
    const size_t numbers = static_cast<size_t>(s.components * s.size);
    means = random_values(numbers, 1);
    for (double& v : variances = random_values(numbers, 2)) v = 0.02 + v * v / 4;
    for (double& w : weights = random_values(s.components, 3)) w = 0.1 + w * w;
    for (int i = 0; i < s.n; ++i)
      for (const float number : kLevels[i % std::size(kLevels)]) level.push_back(number);
  }
  // x near what the level makes of the means, so that more than one component has a say.
  template <class T>
  Values samples() const {
    Values x = random_values(shape.n * shape.size, 4);
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t image = i / shape.size;
      x[i] = level[2 * image] * means[i % shape.size] * 0.5 + (0.3 * level[2 * image] + level[2 * image + 1]) * x[i];
    }
    return stored<T>(x);
  }
  ref::MixtureCase of_image(size_t image) const {
    return {.weights = weights,
            .means = means,
            .variances = variances,
            .alpha = level[2 * image],
            .sigma = level[2 * image + 1]};
  }
  MixtureShape shape;
  Values weights, means, variances;
  Values level;
};

Values row_of(const Values& all, size_t image, size_t size) {
  return {all.begin() + static_cast<int64_t>(image * size), all.begin() + static_cast<int64_t>((image + 1) * size)};
}
void append(Values& to, const Values& more) {
  to.insert(to.end(), more.begin(), more.end());
}

// A problem's tables on the device.
class Device {
 public:
  Device(Stream& stream, const Problem& p)
      : stream_(stream), tables_(stream, (1 + 2 * p.shape.size) * p.shape.components), level_(stream, p.level) {
    std::vector<double> host;
    for (const double weight : p.weights) host.push_back(std::log(3 * weight));  // of any sum
    host.insert(host.end(), p.means.begin(), p.means.end());
    host.insert(host.end(), p.variances.begin(), p.variances.end());
    copy_to_device(stream, tables_, host.data(), host.size() * sizeof(double));
    means_ = tables_.data() + p.shape.components;
    variances_ = means_ + p.shape.components * p.shape.size;
  }
  MixtureTables tables() const { return {.log_weights = tables_, .means = means_, .variances = variances_}; }
  const float* level() const { return level_; }

 private:
  Stream& stream_;
  DeviceArray<double> tables_;
  DeviceArray<float> level_;
  const double *means_ = nullptr, *variances_ = nullptr;
};

template <class T>
class Mixture : public ::testing::Test {};
TYPED_TEST_SUITE(Mixture, StorageTypes);

// What is left in double: exponents of some hundred, wrong by 1e-13 of themselves where the logarithms and exponentials
// are (double_math.h), and so the posterior weights by 1e-11; the answer is rounded to fp32, and then to T.
constexpr double kDouble = 1e-10;

TYPED_TEST(Mixture, MatchesLoops) {
  using T = TypeParam;
  for_each_case(cases::mixture_shapes(), [](Stream& stream, const MixtureShape& shape) {
    const Problem p(shape);
    const Device device(stream, p);
    const size_t size = shape.size;
    const Values x = p.samples<T>(), u = stored<T>(random_values(x.size(), 5));
    DeviceArray<T> device_x(stream, x), device_u(stream, u), eps(stream, x.size());
    mixture_eps(stream, eps.data(), device_x.data(), {device.level()}, device.tables(), shape);
    Values want, magnitude, want_gradient, gradient_magnitude;
    for (int image = 0; image < shape.n; ++image) {
      Values terms;
      append(want, ref::mixture_eps(row_of(x, image, size), p.of_image(image), &terms));
      append(magnitude, terms);
      append(want_gradient,
             ref::mixture_product(row_of(x, image, size), row_of(u, image, size), p.of_image(image), &terms));
      append(gradient_magnitude, terms);
    }
    const double rounding = kRound<T> + kRoundFloat;
    expect_close("eps", eps.values(), want, rounding, kDouble, magnitude);
    expect_set_and_added<T>(stream, "pull-back", want_gradient, rounding, kDouble + 2 * kRound<T>, gradient_magnitude,
                            [&](T* dx, Write write) {
                              mixture_eps_backward(stream, dx, write, device_u.data(), device_x.data(),
                                                   {device.level()}, device.tables(), shape);
                            });
  });
}

TEST(MixtureLoops, LoopsMatchFiniteDifferences) {
  const Problem p({.n = 4, .components = 3, .size = 6});
  const Values x = p.samples<float>(), u = random_values(x.size(), 5);
  for (int image = 0; image < p.shape.n; ++image) {
    const ref::MixtureCase c = p.of_image(image);
    const Values here = row_of(x, image, 6), along = row_of(u, image, 6);
    expect_gradient(
        join_text("level ", image), [&](const Values& v) { return dot(ref::mixture_eps(v, c), along); }, here,
        ref::mixture_product(here, along, c));
  }
}

TYPED_TEST(Mixture, AnImageHasTheSameBitsInEveryBatch) {
  using T = TypeParam;
  Stream stream;
  const Problem p({.n = 5, .components = 3, .size = 20});
  const Device device(stream, p);
  const Values x = p.samples<T>();
  DeviceArray<T> device_x(stream, x), whole(stream, x.size()), alone(stream, x.size()), dx(stream, x.size()),
      dx_alone(stream, x.size());
  mixture_eps(stream, whole.data(), device_x.data(), {device.level()}, device.tables(), p.shape);
  mixture_eps_backward(stream, dx.data(), Write::Set, device_x.data(), device_x.data(), {device.level()},
                       device.tables(), p.shape);
  MixtureShape one = p.shape;
  one.n = 1;
  for (int i = 4; i >= 0; --i) {
    T* at = device_x.data() + i * one.size;
    mixture_eps(stream, alone.data() + i * one.size, at, {device.level() + 2 * i}, device.tables(), one);
    mixture_eps_backward(stream, dx_alone.data() + i * one.size, Write::Set, at, at, {device.level() + 2 * i},
                         device.tables(), one);
  }
  EXPECT_EQ(alone.bits(), whole.bits());
  EXPECT_EQ(dx_alone.bits(), dx.bits());
}

// Components of three classes in turn; labels of each, of none by number and by sign.
TYPED_TEST(Mixture, ALabelLeavesTheComponentsOfItsClass) {
  using T = TypeParam;
  Stream stream;
  const Problem p({.n = 5, .components = 7, .size = 20});
  const Device device(stream, p);
  const Values labels{0, 2, 3, 1, -1}, classes{0, 1, 2, 0, 1, 2, 0};
  DeviceArray<int32_t> device_labels(stream, labels), device_classes(stream, classes);
  MixtureTables tables = device.tables();
  tables.classes = device_classes;
  tables.class_count = 3;
  const MixtureImages images{device.level(), device_labels};
  const Values x = p.samples<T>(), u = stored<T>(random_values(x.size(), 5));
  DeviceArray<T> device_x(stream, x), device_u(stream, u), eps(stream, x.size()), dx(stream, x.size()),
      of_all(stream, x.size());
  mixture_eps(stream, eps.data(), device_x.data(), images, tables, p.shape);
  mixture_eps_backward(stream, dx.data(), Write::Set, device_u.data(), device_x.data(), images, tables, p.shape);
  mixture_eps(stream, of_all.data(), device_x.data(), {device.level()}, device.tables(), p.shape);
  Values want, magnitude, want_gradient, gradient_magnitude;
  for (size_t image = 0; image < 5; ++image) {
    const ref::MixtureCase all = p.of_image(image);
    ref::MixtureCase c{.weights = {}, .means = {}, .variances = {}, .alpha = all.alpha, .sigma = all.sigma};
    for (size_t k = 0; k < 7; ++k) {
      if (labels[image] >= 0 && labels[image] < 3 && classes[k] != labels[image]) continue;
      c.weights.push_back(all.weights[k]);
      append(c.means, row_of(all.means, k, 20));
      append(c.variances, row_of(all.variances, k, 20));
    }
    Values terms;
    append(want, ref::mixture_eps(row_of(x, image, 20), c, &terms));
    append(magnitude, terms);
    append(want_gradient, ref::mixture_product(row_of(x, image, 20), row_of(u, image, 20), c, &terms));
    append(gradient_magnitude, terms);
  }
  const double rounding = kRound<T> + kRoundFloat;
  expect_close("eps", eps.values(), want, rounding, kDouble, magnitude);
  expect_close("pull-back", dx.values(), want_gradient, rounding, kDouble, gradient_magnitude);
  for (const size_t image : {2, 4})
    EXPECT_EQ(row_of(eps.values(), image, 20), row_of(of_all.values(), image, 20)) << "no class, and so the same bits";
  EXPECT_THROW(mixture_eps(stream, eps.data(), device_x.data(), {device.level()}, tables, p.shape), Error);
}

TEST(MixtureLoops, RefusesSizesThatAreNone) {
  Stream stream;
  const Problem p({.n = 1, .components = 1, .size = 1});
  const Device device(stream, p);
  DeviceArray<float> x(stream, 1);
  for (const int components : {0, kMostComponents + 1})
    EXPECT_THROW(mixture_eps(stream, x.data(), x.data(), MixtureImages{device.level()}, device.tables(),
                             {.n = 1, .components = components, .size = 1}),
                 Error);
  EXPECT_THROW(mixture_eps(stream, x.data(), x.data(), {device.level()}, MixtureTables{}, p.shape), Error);
}

}  // namespace
}  // namespace ito::test
