// SPDX-License-Identifier: Apache-2.0
// Blurs, magnetic resonance imaging and phase retrieval: what all operators promise, and each against its definition.
#include <complex>

#include "engine/inverse/operators/kernels_of_blur.h"
#include "engine/io/safetensors.h"
#include "tests/engine/inverse/operator_checks.h"
#include "tests/engine/io/temp_folder.h"

namespace ito::test {
namespace {

// A transform's stages round each term at most R + 1 times a part and axis for each radix R (test_fourier.cpp); radices
// of these sides add up to 7 or less. There and back are two of them on two axes, and a product between.
constexpr double kUnit = 2 * (4 * 9 + 10) * kRoundFloat;

const std::vector<float> kSlantedKernel = {0.1f, 0.4f, 0, 0.05f, 0.3f, 0.2f, -0.1f, 0, 0.05f};

class FourierOperators : public ::testing::Test {
 protected:
  std::string kernel_file() {
    SafetensorsWriter writer;
    writer.add("kernel", {3, 3}, kSlantedKernel);
    const std::string path = folder_ / "kernel.safetensors";
    writer.write(path);
    return path;
  }
  // Keeps frequency 0, a pair, one of another pair, and whatever else is every third.
  std::string mask_file(const ImageShape& image) {
    std::vector<uint8_t> mask;
    for (int i = 0; i < image.pixels(); ++i) mask.push_back(i % 3 == 0);
    if (image.width > 2) mask[1] = mask[static_cast<size_t>(image.width) - 1] = 1;
    SafetensorsWriter writer;
    writer.add_u8("mask", {image.height, image.width}, mask);
    const std::string path = folder_ / "mask.safetensors";
    writer.write(path);
    return path;
  }
  TempFolder folder_;
};

const ImageShape kShapes[] = {{6, 4, 1}, {5, 7, 1}, {4, 4, 3}, {3, 6, 3}};

TEST_F(FourierOperators, KeepWhatLinearOnesPromise) {
  for (const ImageShape& image : kShapes)
    for (const std::string& text :
         {std::string("blur-gaussian:0.6"), std::string("blur-uniform:3"), std::string("blur-motion:1.5,30"),
          "blur:" + kernel_file(), std::string("mri:2"), std::string("mri:3,7"), "mri:" + mask_file(image)})
      check_linear_operator(text, image, kUnit);
}

TEST_F(FourierOperators, AnImageHasTheBitsOfABatchOfOne) {
  const ImageShape image{5, 6, 2};
  for (const std::string& text : {"blur:" + kernel_file(), "mri:" + mask_file(image), std::string("phase")})
    check_batch(text, image);
}

// y[i, j] = sum_ab k[a, b] x[i - a + 1, j - b + 1] over a periodic border.
TEST_F(FourierOperators, ABlurIsTheConvolution) {
  for (const ImageShape& image : kShapes) {
    OperatorOnDevice device("blur:" + kernel_file(), image, 1);
    const Values x = stored<float>(random_values(device.size(), 5));
    Values want(x.size());
    const auto place = [&](int i, int j, int c) {
      const int row = (i + image.height) % image.height, column = (j + image.width) % image.width;
      return static_cast<size_t>(int64_t{1} * (row * image.width + column) * image.channels + c);
    };
    for (int i = 0; i < image.height; ++i)
      for (int j = 0; j < image.width; ++j)
        for (int c = 0; c < image.channels; ++c)
          for (int a = 0; a < 3; ++a)
            for (int b = 0; b < 3; ++b)
              want[place(i, j, c)] += static_cast<double>(kSlantedKernel[static_cast<size_t>(int64_t{1} * 3 * a + b)]) *
                                      x[place(i - a + 1, j - b + 1, c)];
    expect_close("blur", device.apply(x), want, 0, kUnit * norm(x), Values(x.size(), 1));
  }
}

// The unitary transform's number (u, v) of a channel of an image with zeros around it.
std::complex<double> plain_frequency(const Values& x, const ImageShape& image, const ImageShape& padded, int u, int v,
                                     int c) {
  const int top = (padded.height - image.height) / 2, left = (padded.width - image.width) / 2;
  std::complex<double> sum = 0;
  for (int i = 0; i < image.height; ++i)
    for (int j = 0; j < image.width; ++j)
      sum +=
          x[static_cast<size_t>(int64_t{1} * (i * image.width + j) * image.channels + c)] *
          std::polar(1.0, -2 * M_PI * (double((top + i) * u) / padded.height + double((left + j) * v) / padded.width));
  return sum / std::sqrt(static_cast<double>(padded.pixels()));
}

TEST_F(FourierOperators, MriMeasuresTheFrequenciesOfItsMask) {
  const ImageShape image{5, 4, 2};
  OperatorOnDevice device("mri:" + mask_file(image), image, 1);
  const Values x = stored<float>(random_values(device.size(), 6));
  Values want;
  for (int p = 0; p < image.pixels(); ++p)
    for (int c = 0; c < image.channels && (p % 3 == 0 || p == 1); ++c) {
      const std::complex<double> z = plain_frequency(x, image, image, p / image.width, p % image.width, c);
      want.push_back(z.real());
      want.push_back(z.imag());
    }
  expect_close("mri", device.apply(x), want, 0, kUnit * norm(x), Values(want.size(), 1));
  EXPECT_EQ(device.op().measured(), (ImageShape{1, 8, 4}));
}

TEST_F(FourierOperators, MriKeepsTheLowColumnsAndSoManyInAll) {
  const ImageShape image{8, 50, 1};
  std::vector<std::vector<double>> kept;
  for (const char* text : {"mri:4", "mri:4,1", "mri:4,1"}) {
    OperatorOnDevice device(text, image, 1);
    EXPECT_EQ(device.op().measured(), (ImageShape{1, 8 * 13, 2})) << "50 / 4, rounded";
    std::vector<double> values;
    for (const int32_t k : device.op().spectrum()->value_of())
      values.push_back(device.op().spectrum()->values()[static_cast<size_t>(k)]);
    for (const size_t column : {0, 1, 2, 48, 49}) EXPECT_GT(values[column], 0.7) << column;
    EXPECT_EQ(values[0], 1);
    EXPECT_EQ(values[1], 1) << "4 columns are always kept: 0, 1, -1 and 2";
    kept.push_back(values);
  }
  EXPECT_NE(kept[0], kept[1]) << "another seed";
  EXPECT_EQ(kept[1], kept[2]);
}

TEST_F(FourierOperators, PhaseIsTheSizeOfFrequenciesAndItsGradientThatOfDifferences) {
  for (const auto& [text, image, padded] : {std::tuple{"phase", ImageShape{4, 5, 1}, ImageShape{6, 7, 1}},
                                            {"phase:0", ImageShape{3, 3, 2}, ImageShape{3, 3, 2}},
                                            {"phase:8", ImageShape{2, 3, 3}, ImageShape{6, 9, 3}}}) {
    SCOPED_TRACE(text);
    OperatorOnDevice device(text, image, 1);
    ASSERT_EQ(device.op().measured(), padded);
    EXPECT_FALSE(device.op().linear() || device.op().has_pseudo_inverse());
    const auto magnitudes = [&, image = image, padded = padded](const Values& x) {
      Values sizes;
      for (int u = 0; u < padded.height; ++u)
        for (int v = 0; v < padded.width; ++v)
          for (int c = 0; c < padded.channels; ++c)
            sizes.push_back(std::abs(plain_frequency(x, image, padded, u, v, c)));
      return sizes;
    };
    const Values x = stored<float>(random_values(device.size(), 8)), want = magnitudes(x);
    const Values r = stored<float>(random_values(want.size(), 9));
    expect_close("phase", device.apply(x), want, 0, kUnit * norm(x), Values(want.size(), 1));
    // An error of Z turns Z / |Z| by itself over |Z|. Differences are good to 1e-6 of <r, y> over the step squared,
    // which falls short of that by far.
    const Values gradient = device.adjoint(r, x);
    const double turn = kUnit * (1 + norm(x) / *std::min_element(want.begin(), want.end()));
    ASSERT_LT(turn, 0.01) << "no frequency is next to 0";
    for (uint64_t k = 0; k < 6; ++k) {
      const Values direction = random_values(x.size(), 20 + k);
      const double step = 1e-6;
      Values more = x, less = x;
      for (size_t i = 0; i < x.size(); ++i) more[i] += step * direction[i], less[i] -= step * direction[i];
      EXPECT_NEAR(dot(gradient, direction), (dot(r, magnitudes(more)) - dot(r, magnitudes(less))) / (2 * step),
                  turn * norm(r) * norm(direction));
    }
    EXPECT_EQ(device.adjoint(r, Values(x.size())), Values(x.size())) << "no direction where all frequencies are 0";
  }
}

double sum_of(const BlurKernel& kernel) {
  double sum = 0;
  for (const double tap : kernel.taps) sum += tap;
  return sum;
}

TEST_F(FourierOperators, KernelsAreWhatTheyAreCalled) {
  const BlurKernel gaussian = gaussian_kernel(10, 5, 5), flat = motion_kernel(3, 0), steep = motion_kernel(3, 90);
  const BlurKernel slant = motion_kernel(4, 45);
  for (const BlurKernel& kernel : {gaussian, flat, steep, slant, uniform_kernel(9)}) {
    EXPECT_NEAR(sum_of(kernel), 1, 1e-12);
    // All of them are the same from the other side.
    for (size_t i = 0; i < kernel.taps.size(); ++i)
      EXPECT_NEAR(kernel.taps[i], kernel.taps[kernel.taps.size() - 1 - i], 1e-12);
    EXPECT_NEAR(std::abs(transfer_of(kernel, {9, 10, 1})[0] - 1.0), 0, 1e-12) << "a constant image stays";
  }
  EXPECT_NEAR(gaussian.taps[12] / gaussian.taps[0], std::exp(8 / 200.0), 1e-12);
  EXPECT_EQ(flat.columns, 5);
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 5; ++j) {
      const size_t at = static_cast<size_t>(int64_t{1} * 5 * i + j),
                   turned = static_cast<size_t>(int64_t{1} * 5 * j + i);
      EXPECT_NEAR(flat.taps[at], steep.taps[turned], 1e-12);
      EXPECT_TRUE(i == 2 || flat.taps[at] == 0);
    }
  // 45 degrees: up on the right, whose row is smaller.
  EXPECT_GT(slant.taps[5 + 3], 10 * slant.taps[5 + 1]);
}

TEST_F(FourierOperators, WhatMakesNoSenseIsRefused) {
  const ImageShape image{8, 8, 1};
  for (const char* text :
       {"blur", "blur:/no/such/file", "blur-gaussian", "blur-gaussian:0", "blur-gaussian:1,9", "blur-gaussian:1,2.5",
        "blur-motion:3", "blur-motion:-1,0", "blur-motion:9,0", "blur-uniform:9", "blur-uniform:0", "mri", "mri:0.5",
        "mri:9", "mri:2,0.5", "phase:-1", "phase:65"})
    EXPECT_THROW(measurement_operator(text, image), UserError) << text;
  EXPECT_THROW(measurement_operator("phase:8", {2048, 2, 1}), UserError) << "6,144 rows";
  EXPECT_THROW(measurement_operator("mri:" + mask_file({4, 4, 1}), image), UserError);
  EXPECT_NO_THROW(measurement_operator("blur-gaussian:3", image)) << "19 taps, clipped to the image";
}

}  // namespace
}  // namespace ito::test
