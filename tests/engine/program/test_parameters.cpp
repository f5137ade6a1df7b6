// SPDX-License-Identifier: Apache-2.0
// Where parameters stand in the arenas, how files order them, and what they start from.
#include "engine/program/parameters.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>

#include "kernels/error.h"

namespace ito {
namespace {

Parameter convolution(const std::string& name, int64_t k, int64_t c, int64_t r, int64_t s) {
  return {name, ParameterKind::Convolution, {k, c, r, s}, Initial::Uniform, c * r * s};
}

std::vector<Parameter> some_parameters() {
  Parameter frozen{"a_frozen.weight", ParameterKind::Vector, {20}, Initial::Normal, 1, 16.0f, false};
  return {{"z.bias", ParameterKind::Vector, {3}, Initial::Uniform, 27},
          convolution("z.weight", 3, 5, 2, 4),
          frozen,
          {"m.weight", ParameterKind::Linear, {7, 9}, Initial::Uniform, 9},
          {"norm.weight", ParameterKind::Vector, {16}, Initial::Ones},
          {"norm.bias", ParameterKind::Vector, {17}, Initial::Zeros}};
}

TEST(Parameters, StandInNameOrderFrozenOnesLast) {
  const ParameterLayout layout(some_parameters());
  std::vector<std::string> names;
  for (const Parameter& p : layout.all()) names.push_back(p.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a_frozen.weight", "m.weight", "norm.bias", "norm.weight", "z.bias",
                                             "z.weight"}));
  // 63, 17, 16, 3, 120 floats, each rounded up to 16; then the frozen 20.
  EXPECT_EQ(layout.find("m.weight").offset, 0);
  EXPECT_EQ(layout.find("norm.bias").offset, 64);
  EXPECT_EQ(layout.find("norm.weight").offset, 96);
  EXPECT_EQ(layout.find("z.bias").offset, 112);
  EXPECT_EQ(layout.find("z.weight").offset, 128);
  EXPECT_EQ(layout.trainable_floats(), 256);
  EXPECT_EQ(layout.find("a_frozen.weight").offset, 256);
  EXPECT_EQ(layout.arena_floats(), 288);
  EXPECT_EQ(layout.count(), 63 + 17 + 16 + 3 + 120 + 20);
}

TEST(Parameters, TheOrderOfDeclarationDoesNotMatter) {
  std::vector<Parameter> parameters = some_parameters();
  const ParameterLayout one(parameters);
  std::reverse(parameters.begin(), parameters.end());
  const ParameterLayout other(parameters);
  EXPECT_TRUE(one == other);
  EXPECT_EQ(initial_weights(one, 5), initial_weights(other, 5));
  parameters.pop_back();
  EXPECT_FALSE(one == ParameterLayout(parameters));
}

TEST(Parameters, RefusesARepeatedAndAnUnknownName) {
  std::vector<Parameter> parameters = some_parameters();
  parameters.push_back(parameters[1]);
  EXPECT_THROW(ParameterLayout{parameters}, Error);
  const ParameterLayout layout(some_parameters());
  EXPECT_TRUE(layout.has("z.bias"));
  EXPECT_FALSE(layout.has("z.bia"));
  EXPECT_THROW(layout.find("z.bia"), Error);
}

TEST(Parameters, FiltersAreKrscInMemoryAndOihwInFiles) {
  const ParameterLayout layout(some_parameters());
  const Parameter& p = layout.find("z.weight");
  const int64_t K = 3, C = 5, R = 2, S = 4;
  std::vector<float> file(p.count()), arena(layout.arena_floats(), -1.0f);
  std::iota(file.begin(), file.end(), 0.0f);
  from_file_layout(p, file, arena.data());
  for (int64_t k = 0; k < K; ++k)
    for (int64_t c = 0; c < C; ++c)
      for (int64_t r = 0; r < R; ++r)
        for (int64_t s = 0; s < S; ++s)
          ASSERT_EQ(arena[p.offset + ((k * R + r) * S + s) * C + c], static_cast<float>(((k * C + c) * R + r) * S + s));
  EXPECT_EQ(to_file_layout(p, arena.data()), file);
  for (int64_t i = 0; i < layout.arena_floats(); ++i)  // nothing outside the tensor is touched
    ASSERT_TRUE((i >= p.offset && i < p.offset + p.count()) || arena[i] == -1.0f) << i;
}

TEST(Parameters, EveryKindSurvivesTheRoundTrip) {
  const ParameterLayout layout(some_parameters());
  const std::vector<float> arena = initial_weights(layout, 3);
  std::vector<float> back(arena.size(), 0.0f);
  for (const Parameter& p : layout.all()) from_file_layout(p, to_file_layout(p, arena.data()), back.data());
  EXPECT_EQ(back, arena);
  const Parameter& linear = layout.find("m.weight");
  EXPECT_EQ(to_file_layout(linear, arena.data())[5], arena[linear.offset + 5]) << "a matrix is the same in both";
  EXPECT_THROW(from_file_layout(linear, std::vector<float>(62), back.data()), Error);
}

TEST(InitialWeights, PaddingIsZero) {
  const ParameterLayout layout(some_parameters());
  const std::vector<float> arena = initial_weights(layout, 3);
  std::vector<bool> used(arena.size(), false);
  for (const Parameter& p : layout.all())
    for (int64_t i = 0; i < p.count(); ++i) used[p.offset + i] = true;
  for (size_t i = 0; i < arena.size(); ++i) EXPECT_TRUE(used[i] || arena[i] == 0.0f) << i;
}

struct Moments {
  double mean = 0, variance = 0, fourth = 0, least = 1e30, most = -1e30;
};

Moments moments_of(const std::vector<float>& values) {
  Moments m;
  const double n = static_cast<double>(values.size());
  for (float v : values) {
    m.mean += v / n;
    m.least = std::min<double>(m.least, v);
    m.most = std::max<double>(m.most, v);
  }
  for (float v : values) {
    m.variance += std::pow(v - m.mean, 2) / n;
    m.fourth += std::pow(v - m.mean, 4) / n;
  }
  return m;
}

// PyTorch's default of convolutions and linears (kaiming_uniform with a = sqrt(5)) is uniform in +-1/sqrt(fan_in), and
// so is their biases'. Over n draws the mean's standard error is sd / sqrt(n); the variance's is var sqrt((kurtosis -
// 1) / n), kurtosis 1.8 for uniform and 3 for normal. Five standard errors: one seed in a million would fail.
TEST(InitialWeights, ArePytorchsDefaults) {
  const int64_t k = 64, c = 32, n = k * c * 9;
  Parameter normal{"embedding.weight", ParameterKind::Table, {100, 64}, Initial::Normal};
  Parameter fourier{"fourier.weight", ParameterKind::Vector, {5000}, Initial::Normal, 1, 16.0f, false};
  const ParameterLayout layout({convolution("conv.weight", k, c, 3, 3),
                                {"ones.weight", ParameterKind::Vector, {40}, Initial::Ones},
                                {"zeros.bias", ParameterKind::Vector, {40}, Initial::Zeros},
                                normal,
                                fourier,
                                {"xavier.weight", ParameterKind::Linear, {64, 32}, Initial::Xavier, 32}});
  const std::vector<float> arena = initial_weights(layout, 11);
  const auto tensor = [&](const char* name) { return to_file_layout(layout.find(name), arena.data()); };

  const Moments conv = moments_of(tensor("conv.weight"));
  const double bound = 1 / std::sqrt(9.0 * c), variance = bound * bound / 3;
  EXPECT_LE(conv.most, bound);
  EXPECT_GE(conv.least, -bound);
  EXPECT_GT(conv.most, bound * (1 - 20.0 / n));  // the largest of n draws: short of it by 20/n with chance e^-10
  EXPECT_LT(conv.least, -bound * (1 - 20.0 / n));
  EXPECT_NEAR(conv.mean, 0, 5 * std::sqrt(variance / n));
  EXPECT_NEAR(conv.variance, variance, 5 * variance * std::sqrt(0.8 / n));

  for (const auto& [name, sd, count] :
       {std::tuple{"embedding.weight", 1.0, 6400.0}, {"fourier.weight", 16.0, 5000.0}}) {
    const Moments m = moments_of(tensor(name));
    EXPECT_NEAR(m.mean, 0, 5 * sd / std::sqrt(count)) << name;
    EXPECT_NEAR(m.variance, sd * sd, 5 * sd * sd * std::sqrt(2 / count)) << name;
    EXPECT_NEAR(m.fourth / std::pow(m.variance, 2), 3, 5 * std::sqrt(24 / count)) << name;
  }
  const Moments xavier = moments_of(tensor("xavier.weight"));  // +-sqrt(6 / (32 + 64)) = 1/4
  EXPECT_LE(std::max(xavier.most, -xavier.least), 0.25);
  EXPECT_GT(std::min(xavier.most, -xavier.least), 0.25 * (1 - 20.0 / 2048));
  EXPECT_NEAR(xavier.variance, 1.0 / 48, 5.0 / 48 * std::sqrt(0.8 / 2048));
  EXPECT_EQ(tensor("ones.weight"), std::vector<float>(40, 1.0f));
  EXPECT_EQ(tensor("zeros.bias"), std::vector<float>(40, 0.0f));
}

// An element depends on the seed, the tensor's place in name order and its place in the file: not on shapes, on the
// memory layout or on what else is drawn.
TEST(InitialWeights, AreAFunctionOfSeedIndexAndElement) {
  const auto tensor = [](const std::vector<Parameter>& parameters, const std::string& name, uint64_t seed) {
    const ParameterLayout layout(parameters);
    return to_file_layout(layout.find(name), initial_weights(layout, seed).data());
  };
  const Parameter wide = convolution("b.weight", 4, 3, 3, 3);
  Parameter flat{"b.weight", ParameterKind::Linear, {4, 27}, Initial::Uniform, 27};
  Parameter before{"a.weight", ParameterKind::Vector, {5}, Initial::Uniform, 1};
  Parameter longer_before{"a.weight", ParameterKind::Vector, {500}, Initial::Uniform, 1};
  const std::vector<float> reference = tensor({before, wide}, "b.weight", 7);
  EXPECT_EQ(tensor({before, flat}, "b.weight", 7), reference) << "the file's order counts, not the memory's";
  EXPECT_EQ(tensor({longer_before, wide}, "b.weight", 7), reference);
  EXPECT_NE(tensor({before, wide}, "b.weight", 8), reference);
  EXPECT_NE(tensor({before, wide}, "b.weight", 7 + (uint64_t{1} << 32)), reference);
  EXPECT_NE(tensor({wide}, "b.weight", 7), reference) << "another index";
  const std::set<float> distinct(reference.begin(), reference.end());
  EXPECT_GT(distinct.size(), reference.size() - 3) << "elements repeat";
}

}  // namespace
}  // namespace ito
