// SPDX-License-Identifier: Apache-2.0
// log p by the probability flow, and samples along it, of Gaussian data whose network, flow and density are closed
// forms (pair_network.h).
#include "engine/likelihood/ode_likelihood.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/reverse/adaptive_process.h"
#include "tests/models/unet/tiny_unet.h"
#include "tests/only/host/pair_network.h"

namespace ito::test {
namespace {

constexpr ImageShape kImage = {1, 2, 2};
constexpr int64_t kSize = 4;

// Whose level at any time is a closed form.
SchedulerConfig vp_sde() {
  SchedulerConfig config;
  config.family = Family::VpSde;
  return config;
}

ProbabilityFlow flow_of(const SchedulerConfig& config) {
  const Levels levels{NoiseSchedule(config)};
  return probability_flow(levels, Reading::of(config), levels.at(levels.steps() - 1), levels.at(0));
}

// Standard normals, (n, size).
std::vector<float> normals(int64_t n, uint64_t seed) {
  std::vector<float> values;
  for (int64_t i = 0; i < n * kSize; ++i) {
    double sum = -6;  // twelve uniforms: near enough
    for (uint32_t k = 0; k < 12; ++k) sum += 0.5 + 0.5 * draw(seed, k, static_cast<uint32_t>(i));
    values.push_back(static_cast<float>(sum));
  }
  return values;
}

std::vector<LogDensity> densities(const PairVariances& variances, const std::vector<float>& x0,
                                  const LikelihoodSettings& settings, int64_t first = 0) {
  const SchedulerConfig config = vp_sde();
  OdeLikelihood likelihood(pair_network(config, variances, kImage), flow_of(config), nullptr, settings);
  const auto count = static_cast<int64_t>(x0.size()) / kSize;
  std::vector<LogDensity> found = likelihood.all(first, count, x0.data(), nullptr);
  EXPECT_EQ(likelihood.thousandths(), likelihood.thousandths_of(count));
  return found;
}

// Of the density of data with the noise of the flow's end, which an exact flow gives but for its far end: N(0, I) there
// stands for variances within alpha^2 = 4e-5 of 1, half of which a number may be off.
TEST(OdeLikelihood, IsTheDensityOfGaussianData) {
  const SchedulerConfig config = vp_sde();
  const double noise = std::exp(2 * flow_of(config).data);
  for (const PairVariances variances : {PairVariances{1, 1}, {0.09, 0.09}, {2.25, 2.25}, {1.5, 0.04}}) {
    const int64_t n = 3;
    const std::vector<float> x0 = normals(n, 5);
    LikelihoodSettings settings;
    settings.trace = Trace::Exact;
    settings.batch = 2;
    const std::vector<LogDensity> found = densities(variances, x0, settings);
    ASSERT_EQ(found.size(), 3u);
    for (int64_t i = 0; i < n; ++i) {
      const double expected = pair_log_density(x0.data() + i * kSize, kSize, variances, noise);
      // Data of another variance lies far out: 1/25 of the standard deviation is 25 of them away, and so is its error.
      const double scale = std::max(1.0, std::fabs(expected) / kSize);
      EXPECT_NEAR(found[i].value / kSize, expected / kSize, 1e-4 * scale) << variances.sum << " point " << i;
      EXPECT_EQ(found[i].standard_error, 0);
      EXPECT_GT(found[i].evaluations, 8);
      // And of the data itself: the noise is a thousandth.
      if (variances.sum == 1) {
        EXPECT_NEAR(found[i].value / kSize, pair_log_density(x0.data() + i * kSize, kSize, variances, 0) / kSize, 1e-3);
      }
    }
  }
}

// Of data around a mean that is the point's label. Data of variance 1 stay at their distance of alpha mean all the way,
// so that what N(0, I) has otherwise at the far end than a density around alpha mean is a closed form, too.
TEST(OdeLikelihood, IsTheDensityOfDataAroundTheirLabel) {
  const SchedulerConfig config = vp_sde();
  const ProbabilityFlow flow = flow_of(config);
  const double noise = std::exp(2 * flow.data), end_alpha = 1 / std::sqrt(1 + std::exp(2 * flow.noise));
  const std::vector<float> means{0.8f, -0.5f, 0.25f}, x0 = normals(3, 5);
  LikelihoodSettings settings;
  settings.trace = Trace::Exact;
  settings.batch = 2;
  const PairVariances variances{1, 1};
  const std::vector<LogDensity> found =
      OdeLikelihood(pair_network(config, variances, kImage, LabelKind::Value), flow, nullptr, settings)
          .all(0, 3, x0.data(), LabelRows(means.data()));
  ASSERT_EQ(found.size(), 3u);
  for (int64_t i = 0; i < 3; ++i) {
    std::vector<float> off(x0.begin() + i * kSize, x0.begin() + (i + 1) * kSize);
    double end = 0;
    for (float& value : off) {
      value -= means[i];
      const double from_mean = flow.data_alpha * value, from_zero = from_mean + end_alpha * means[i];
      end += (from_mean * from_mean - from_zero * from_zero) / 2;
    }
    const double expected = pair_log_density(off.data(), kSize, variances, noise) + end;
    EXPECT_NEAR(found[i].value / kSize, expected / kSize, 1e-4) << i;
  }
}

// Signs give the trace of pairs as 2 (d +- o): a mean of many probes is within its own error of the exact one.
TEST(OdeLikelihood, ProbesAreUnbiased) {
  const PairVariances variances = {1.5, 0.04};
  const std::vector<float> x0 = normals(4, 6);
  LikelihoodSettings settings;
  settings.rtol = settings.atol = 1e-3;
  settings.trace = Trace::Exact;
  const std::vector<LogDensity> exact = densities(variances, x0, settings);
  settings.trace = Trace::Hutchinson;
  settings.probes = 32;
  const std::vector<LogDensity> estimated = densities(variances, x0, settings);
  double chi_square = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    ASSERT_GT(estimated[i].standard_error, 0);
    const double off = (estimated[i].value - exact[i].value) / estimated[i].standard_error;
    EXPECT_LT(std::fabs(off), 4) << i;
    chi_square += off * off;
  }
  EXPECT_LT(chi_square, 18.5);  // 4 degrees of freedom, 1 in 1000
  EXPECT_NE(estimated[0].value, exact[0].value);
  // The error of a mean falls as its root, and one probe knows none.
  settings.probes = 8;
  EXPECT_NEAR(densities(variances, x0, settings)[0].standard_error / estimated[0].standard_error, 2, 0.8);
  settings.probes = 1;
  EXPECT_EQ(densities(variances, x0, settings)[0].standard_error, 0);
  settings.probes = 0;
  EXPECT_THROW(densities(variances, x0, settings), UserError);
}

TEST(OdeLikelihood, APointDoesNotKnowItsBatch) {
  const PairVariances variances = {1.5, 0.04};
  const std::vector<float> x0 = normals(5, 7);
  LikelihoodSettings settings;
  settings.probes = 2;
  settings.batch = 5;
  const std::vector<LogDensity> all = densities(variances, x0, settings, 10);
  for (const int batch : {1, 3}) {
    settings.batch = batch;
    settings.capture = batch == 1;
    const std::vector<LogDensity> parts = densities(variances, x0, settings, 10);
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(parts[i].value, all[i].value) << i;
      EXPECT_EQ(parts[i].evaluations, all[i].evaluations) << i;
    }
  }
  const std::vector<float> last(x0.begin() + 4 * kSize, x0.end());
  EXPECT_EQ(densities(variances, last, settings, 14)[0].value, all[4].value) << "by its number";
  EXPECT_NE(densities(variances, last, settings, 15)[0].value, all[4].value) << "other probes";
}

TEST(OdeLikelihood, AModelMayGiveItsOwnEnd) {
  const std::vector<float> x0 = normals(2, 8);
  LikelihoodSettings settings;
  settings.trace = Trace::Exact;
  const std::vector<LogDensity> usual = densities({1, 1}, x0, settings);
  settings.end_log_density = [](const float*) { return 0.0; };
  const std::vector<LogDensity> flat = densities({1, 1}, x0, settings);
  // Standard normal data stays where it is: what is left is the volume, N ln alpha.
  const double volume = kSize * std::log(flow_of(vp_sde()).data_alpha);
  for (const LogDensity& density : flat) EXPECT_NEAR(density.value, volume, 1e-4);
  EXPECT_LT(usual[0].value, flat[0].value);
}

// The exact flow stretches each part as its standard deviation grows: x' = x sqrt((a'^2 v + s'^2) / (a^2 v + s^2)). The
// estimate of x0 at its end is x a v / (a^2 v + s^2).
TEST(AdaptiveProcess, GaussianSamplesAreTheFlowsOwn) {
  const SchedulerConfig config = vp_sde();
  const PairVariances variances = {0.5, 0.03};
  const Network network = pair_network(config, variances, kImage);
  const std::vector<float> noise = normals(3, 9);
  for (const bool clean : {true, false}) {
    const AdaptivePlan plan = adaptive_plan(sampler_named("ode45"), NoiseSchedule(config),
                                            {.set = {clean ? "final_sigmas_type=zero" : "final_sigmas_type=sigma_min",
                                                     "rtol=1e-6", "atol=1e-6", "sampling_eps=0.02"}});
    AdaptiveProcess process(network, plan, nullptr, {.batch = 2});
    const std::vector<float> drawn = process.all(0, 3, noise.data(), nullptr).numbers;
    ASSERT_EQ(drawn.size(), noise.size());
    const auto spread = [](double l, double variance) {
      const double s = std::exp(l), abar = 1 / (1 + s * s);
      return abar * variance + 1 - abar;
    };
    const double alpha = plan.flow.data_alpha;
    for (size_t i = 0; i < noise.size(); i += 2)
      for (const double sign : {1.0, -1.0}) {
        const double variance = sign > 0 ? variances.sum : variances.difference;
        const double at_data = spread(plan.flow.data, variance), at_noise = spread(plan.flow.noise, variance);
        const double stretch = std::sqrt(at_data / at_noise) * (clean ? alpha * variance / at_data : 1 / alpha);
        EXPECT_NEAR(drawn[i] + sign * drawn[i + 1], stretch * (noise[i] + sign * noise[i + 1]), 2e-5) << clean;
      }
  }
}

}  // namespace
}  // namespace ito::test
