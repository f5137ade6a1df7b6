// SPDX-License-Identifier: Apache-2.0
// Solvers with an exact network in the network's place, of one Gaussian, whose posterior is a Gaussian: the methods
// that are exact in the limit come as near to it as exact draws do to each other; the others are held to what is known
// of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/inverse/exact_posterior.h"
#include "engine/inverse/restoration.h"
#include "kernels/random/host_normal.h"
#include "models/model_on_device.h"
#include "tests/engine/inverse/operator_checks.h"
#include "tests/engine/user_error.h"
#include "tests/models/mixture/two_bumps.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

bool is_sim() {
  return std::strcmp(device_name(), "sim") == 0;
}

// N((.1, -.2, .3, 0), diag(.3, .1, .2, .5)), as images of 2 x 2.
constexpr double kMeans[] = {.1, -.2, .3, 0}, kVariances[] = {.3, .1, .2, .5};
constexpr int kSize = 4;

Json one_gaussian() {
  return {{"_class_name", "GaussianMixture"},
          {"shape", {1, 2, 2}},
          {"weights", {1}},
          {"means", {kMeans}},
          {"variances", {kVariances}}};
}

double normal(uint32_t stream, uint32_t index, uint32_t coordinate) {
  return host_normal(philox4x32(77, coordinate, stream, index, 0x50F7u), 0);
}

// sqrt(mean over directions of mean((sorted a - sorted b)^2)), points (count, size).
double sliced_wasserstein(const std::vector<double>& a, const std::vector<double>& b, size_t size) {
  const size_t count = a.size() / size;
  constexpr uint32_t kDirections = 128;
  double sum = 0;
  for (uint32_t d = 0; d < kDirections; ++d) {
    std::vector<double> direction(size);
    double norm = 0;
    for (size_t j = 0; j < size; ++j) {
      direction[j] = normal(900, d, static_cast<uint32_t>(j));
      norm += direction[j] * direction[j];
    }
    const auto projected = [&](const std::vector<double>& points) {
      std::vector<double> values(count, 0.0);
      for (size_t i = 0; i < count; ++i)
        for (size_t j = 0; j < size; ++j) values[i] += points[i * size + j] * direction[j] / std::sqrt(norm);
      std::sort(values.begin(), values.end());
      return values;
    };
    const std::vector<double> left = projected(a), right = projected(b);
    for (size_t i = 0; i < count; ++i) sum += (left[i] - right[i]) * (left[i] - right[i]);
  }
  return std::sqrt(sum / (kDirections * static_cast<double>(count)));
}

struct Exact {
  Exact() : loaded(load_model(folder.write("m.json", json_text(one_gaussian())), 0, 0)) {}
  TempFolder folder;
  ModelOnDevice loaded;

  RestorePlan plan(const char* solver, MeasurementOperator& op, double noise, int steps,
                   const std::vector<std::string>& set) const {
    return restore_plan(solver_named(solver), NoiseSchedule(loaded.scheduler),
                        {.steps = steps, .clip_sample = false, .set = set}, op, noise);
  }
};

constexpr double kNoise = 0.2;
constexpr int kDraws = 4000;

// A launch here is of a few thousand numbers: threads beside other programs' would wait for each other.
class OracleSolvers : public ::testing::Test {
 protected:
  void SetUp() override { set_device_threads(is_sim() ? 0 : 1); }
  void TearDown() override { set_device_threads(0); }
};

// H as a matrix over the mixture's numbers: an image of 2 x 2 has them in the device's order.
DenseMatrix matrix_of(const char* text) {
  OperatorOnDevice op(text, {2, 2, 1}, kSize);
  Values units(kSize * kSize, 0);
  for (size_t i = 0; i < kSize; ++i) units[i * kSize + i] = 1;
  const Values columns = op.apply(units);
  DenseMatrix h{static_cast<int64_t>(op.count()), kSize, Values(op.count() * kSize)};
  for (int64_t row = 0; row < h.rows; ++row)
    for (int64_t column = 0; column < kSize; ++column)
      h.at(row, column) = columns[static_cast<size_t>(column * h.rows + row)];
  return h;
}

// The distance of a solver's draws for one measurement from exact draws of its posterior.
double score(const Exact& exact, const char* op_text, const char* solver, int steps,
             const std::vector<std::string>& set) {
  const GaussianMixture prior({1}, Values(kMeans, kMeans + kSize), Values(kVariances, kVariances + kSize));
  const DenseMatrix h = matrix_of(op_text);
  const Values x = prior.sample(8, 0);
  Values y;
  std::vector<float> measured;
  for (int64_t row = 0; row < h.rows; ++row) {
    double value = kNoise * normal(2, 0, static_cast<uint32_t>(row));
    for (int64_t column = 0; column < kSize; ++column) value += h.at(row, column) * x[static_cast<size_t>(column)];
    measured.push_back(static_cast<float>(value));
    y.push_back(static_cast<double>(measured.back()));
  }
  const MixturePosterior posterior(prior, h, y, kNoise);
  const auto exact_draws = [&](uint64_t seed) {
    Values draws;
    for (uint32_t i = 0; i < kDraws; ++i) {
      const Values draw = posterior.sample(seed, i);
      draws.insert(draws.end(), draw.begin(), draw.end());
    }
    return draws;
  };
  if (!solver) return sliced_wasserstein(exact_draws(1), exact_draws(2), kSize);
  const auto op = measurement_operator(op_text, {2, 2, 1});
  Restoration restoration(exact.loaded.network, nullptr, *op, exact.plan(solver, *op, kNoise, steps, set),
                          {.draws = kDraws, .batch = kDraws, .seed = 5});
  const std::vector<float> drawn = restoration.restore(0, 1, measured.data(), nullptr).samples;
  return sliced_wasserstein(Values(drawn.begin(), drawn.end()), exact_draws(1), kSize);
}

// Guidance with Tweedie's covariance and Langevin steps go to the posterior as their steps grow. What is left at these
// numbers of steps is some 0.01 beside what two sets of exact draws have between them, 0.007 to 0.021, all of them
// fixed by their seeds; without the measurement's part a distance would be a deviation of the posterior, 0.1 to 0.6.
TEST_F(OracleSolvers, ConvergeToTheGaussianPosterior) {
  if (is_sim()) GTEST_SKIP() << "numbers alone; the kernels are the cpu's";
  const Exact exact;
  for (const char* op : {"inpaint:random:0.5,3", "pool:2", "blur-gaussian:0.5", "denoise"}) {
    SCOPED_TRACE(op);
    EXPECT_LT(score(exact, op, nullptr, 0, {}), 0.025) << "exact draws";
    EXPECT_LT(score(exact, op, "pigdm", 200, {"covariance=tweedie", "solve_steps=4"}), 0.03);
    EXPECT_LT(score(exact, op, "snips", 100, {"sigma_max=10", "inner_steps=20", "step=0.033"}), 0.04);
  }
  EXPECT_LT(score(exact, "denoise", "stochastic-denoise", 250, {"inner_steps=10", "step=0.033"}), 0.03);
}

// Published rules that no number of steps makes right, not even for a Gaussian.
TEST_F(OracleSolvers, PublishedRulesAreBiasedForAGaussian) {
  if (is_sim()) GTEST_SKIP() << "numbers alone; the kernels are the cpu's";
  const Exact exact;
  for (const char* solver : {"ddrm", "ddnm", "pigdm", "dps", "mcg", "diffpir"}) {
    SCOPED_TRACE(solver);
    EXPECT_GT(score(exact, "denoise", solver, 200, {}), 0.04);
  }
}

}  // namespace
}  // namespace ito::test
