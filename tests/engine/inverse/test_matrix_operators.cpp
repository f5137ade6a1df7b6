// SPDX-License-Identifier: Apache-2.0
// Operators that are matrices along axes, compressed sensing, tomography, what is not linear, and compositions: what
// all operators promise, and each against its definition.
#include "tests/engine/inverse/operator_checks.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

// A sum of up to 32 products rounds each term at most 33 times a part, on two axes, and their matrices once each.
constexpr double kUnit = 2 * 36 * kRoundFloat;
// Twenty steps of conjugate gradients with 1e-6 |H|^2 added fall short of H H+ H = H by more than rounding: the part of
// a value s that the shift takes is 1e-6 |H|^2 / s^2, and these operators' conditions are below 30.
constexpr double kByGradients = 1e-3;

TEST(MatrixOperators, KeepWhatLinearOnesPromise) {
  for (const char* text : {"pool:2", "bicubic:2", "pool:1", "hadamard:0.5", "hadamard:0.3,7", "hadamard:1"})
    for (const ImageShape& image : {ImageShape{4, 6, 1}, ImageShape{4, 4, 2}})
      check_linear_operator(text, image, kUnit);
  check_linear_operator("bicubic:3", {6, 3, 1}, kUnit);
  check_linear_operator("pool:3", {3, 6, 3}, kUnit);
  check_linear_operator("colourise", {2, 5, 3}, kUnit);
}

TEST(MatrixOperators, CompositionsKeepWhatLinearOnesPromise) {
  for (const char* text : {"pool:2+inpaint:random:0.5", "inpaint:box+denoise", "hadamard:0.6+inpaint:random:0.5,1",
                           "pool:2+denoise", "colourise+pool:2"})
    check_linear_operator(text, {4, 4, 3}, kUnit);
  // Neither the first one's rows are of equal norm, nor is the second one a rotation.
  check_linear_operator("colourise+bicubic:2+inpaint:random:0.5", {4, 4, 3}, kByGradients);
  check_linear_operator("bicubic:2+inpaint:random:0.7", {8, 8, 1}, kByGradients);
  check_linear_operator("bicubic:2+pool:2+inpaint:random:0.5", {8, 8, 1}, kByGradients);
}

TEST(MatrixOperators, RadonKeepsWhatLinearOnesPromise) {
  check_linear_operator("radon:3", {4, 4, 1}, kByGradients);
  check_linear_operator("radon:2", {3, 4, 2}, kByGradients);
}

TEST(MatrixOperators, AnImageHasTheBitsOfABatchOfOne) {
  const ImageShape image{4, 6, 3};
  for (const char* text : {"pool:2", "bicubic:2", "colourise", "hadamard:0.5", "radon:3", "hdr", "quantise:3",
                           "bicubic:2+inpaint:random:0.7", "pool:2+hdr"})
    check_batch(text, image);
}

TEST(MatrixOperators, APoolIsTheMean) {
  OperatorOnDevice device("pool:2", {4, 2, 2}, 1);
  const Values x = stored<float>(random_values(device.size(), 1));
  Values want;
  for (size_t row = 0; row < 2; ++row)
    for (size_t c = 0; c < 2; ++c) {
      const size_t at = row * 8 + c;
      want.push_back((x[at] + x[at + 2] + x[at + 4] + x[at + 6]) / 4);
    }
  const Values y = device.apply(x);
  expect_close("pool", y, want, 0, 8 * kRoundFloat * norm(x));
}

TEST(MatrixOperators, BicubicKeepsConstantsAndIsWellConditioned) {
  for (const auto& [text, image] :
       {std::pair{"bicubic:2", ImageShape{16, 16, 1}}, {"bicubic:3", ImageShape{6, 9, 1}}}) {
    OperatorOnDevice device(text, image, 1);
    for (const double value : device.apply(Values(device.size(), 1))) EXPECT_NEAR(value, 1, kUnit);
  }
  // Products of two axes' values.
  OperatorOnDevice device("bicubic:2", {16, 16, 1}, 1);
  const std::vector<double>& values = device.op().spectrum()->values();
  EXPECT_EQ(values[0], 0);
  EXPECT_NEAR(std::sqrt(values[1]), 0.508, 5e-4);
  EXPECT_NEAR(std::sqrt(values.back()), 0.707, 5e-4);
}

TEST(MatrixOperators, HadamardSeesTheMeanFirst) {
  for (const ImageShape& image : {ImageShape{4, 4, 1}, ImageShape{6, 6, 1}}) {
    OperatorOnDevice device("hadamard:0.4,3", image, 1), other("hadamard:0.4,4", image, 1);
    const Values x = stored<float>(random_values(device.size(), 2));
    const Values y = device.apply(x);
    double sum = 0;
    for (const double value : x) sum += value;
    EXPECT_NEAR(y[0], sum / std::sqrt(static_cast<double>(x.size())), kUnit * norm(x));
    EXPECT_EQ(y.size(), image.size() == 16 ? 6 : 14);
    EXPECT_NE(y, other.apply(x)) << "another seed";
    EXPECT_EQ(y, OperatorOnDevice("hadamard:0.4,3", image, 1).apply(x));
  }
}

TEST(MatrixOperators, EveryPixelReachesTheDetectorsOncePerAngle) {
  const ImageShape image{5, 8, 1};
  OperatorOnDevice device("radon:7", image, 1);
  EXPECT_EQ(device.op().measured(), (ImageShape{7, 15, 1}));
  for (const double value : device.adjoint(Values(device.count(), 1))) EXPECT_NEAR(value, 7, 7 * 16 * kRoundFloat);
  // Along the columns, angle 0: detectors meet column centres half way.
  const Values x = stored<float>(random_values(device.size(), 3)), y = device.apply(x);
  for (size_t k = 4; k < 11; ++k) {
    double want = 0;
    for (size_t i = 0; i < 5; ++i) want += (x[i * 8 + k - 4] + x[i * 8 + k - 3]) / 2;
    EXPECT_NEAR(y[k], want, kUnit * norm(x)) << k;
  }
  EXPECT_EQ(OperatorOnDevice("radon:2", {33, 32, 1}, 1).op().spectrum(), nullptr) << "too large to write out";
}

TEST(MatrixOperators, HdrsDerivativeIsThatOfDifferences) {
  OperatorOnDevice device("pool:2+hdr", {2, 4, 1}, 1), alone("hdr", {2, 4, 1}, 1);
  EXPECT_FALSE(alone.op().linear());
  const Values x = {0.1, -0.3, 0.8, 0.25, 0.2, 0.05, 0.9, 0.75}, r = {1, -2, 3, 0.5, -1, 2, 1, 4};
  EXPECT_EQ(alone.pseudo_inverse(r), (Values{0.5, -1, 1.5, 0.25, -0.5, 1, 0.5, 2}));
  for (OperatorOnDevice* op : {&device, &alone}) {
    const Values pull(r.begin(), r.begin() + static_cast<long>(op->count())), gradient = op->adjoint(pull, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double step = 0x1p-7;
      Values more = x, less = x;
      more[i] += step, less[i] -= step;
      // Piecewise linear, so that differences err by rounding alone.
      EXPECT_NEAR(gradient[i], dot(pull, minus(op->apply(more), op->apply(less))) / (2 * step), 1e-4) << i;
    }
  }
}

TEST(MatrixOperators, QuantiseKeepsLevels) {
  OperatorOnDevice device("quantise:2", {1, 7, 1}, 1);
  EXPECT_FALSE(device.op().differentiable());
  const Values y = device.apply({-1, -0.7, -0.6, 0, 0.3, 1, 1.5}), want = {-1, -1, -1 / 3.0, 1 / 3.0, 1 / 3.0, 1, 1};
  expect_close("quantise", y, want, 0, 4 * kRoundFloat);
  EXPECT_EQ(device.pseudo_inverse(y), y);
}

TEST(MatrixOperators, WhatMakesNoSenseIsRefused) {
  const ImageShape image{28, 28, 1};
  for (const char* text : {"pool", "pool:3", "pool:0", "pool:1.5", "pool:29", "bicubic:3", "bicubic:x", "colourise",
                           "hadamard", "hadamard:0", "hadamard:1.1", "hadamard:0.5,-1", "radon", "radon:0", "radon:1.5",
                           "hdr:1", "quantise", "quantise:0", "quantise:9"}) {
    const std::string refusal = user_error([&] { measurement_operator(text, image); });
    EXPECT_NE(refusal.find(text), std::string::npos) << text << ": " << refusal;
    EXPECT_EQ(refusal.find('\n'), std::string::npos);
  }
  EXPECT_THROW(measurement_operator("hadamard:0.5", {65, 65, 1}), UserError) << "4,225 is odd";
}

}  // namespace
}  // namespace ito::test
