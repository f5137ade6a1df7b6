// SPDX-License-Identifier: Apache-2.0
// Every sampler with an exact network in the network's place: what it draws must be the data's distribution. Moments
// against the mixture's, and a two-sample test against exact draws; where two samplers are one algorithm, their states.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/reverse/reverse_process.h"
#include "engine/samplers/sampler.h"
#include "kernels/random/host_normal.h"
#include "models/mixture/mixture_config.h"
#include "models/model_on_device.h"
#include "tests/models/mixture/two_bumps.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

bool is_sim() {
  return std::strcmp(device_name(), "sim") == 0;
}

struct Oracle {
  explicit Oracle(const Json& file)
      : loaded(load_model(folder.write("m.json", json_text(file)), 0, 0)),
        mixture(mixture_config_from_json(file, "m.json", nullptr).mixture()) {}
  TempFolder folder;
  ModelOnDevice loaded;
  GaussianMixture mixture;

  std::vector<float> draw(const ReverseTable& table, int count, int batch) const {
    ReverseSettings settings;
    settings.batch = batch;
    settings.seed = 11;
    return ReverseProcess(loaded.network, table, nullptr, settings).all(0, count, nullptr, nullptr).numbers;
  }
};

// P(the two-sample Kolmogorov-Smirnov statistic is larger) for two sets of one distribution (Kolmogorov's series, with
// Stephens' correction for finite sets).
double ks_probability(std::vector<double> a, std::vector<double> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  double largest = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    (a[i] <= b[j] ? i : j)++;
    largest = std::max(largest, std::fabs(static_cast<double>(i) / static_cast<double>(a.size()) -
                                          static_cast<double>(j) / static_cast<double>(b.size())));
  }
  const double root = std::sqrt(static_cast<double>(a.size() * b.size()) / static_cast<double>(a.size() + b.size()));
  const double statistic = (root + 0.12 + 0.11 / root) * largest;
  if (statistic < 0.2) return 1;  // where the series alternates without end
  double sum = 0;
  for (int k = 1; k <= 100; ++k) sum += (k % 2 ? 2 : -2) * std::exp(-2 * k * k * statistic * statistic);
  return std::clamp(sum, 0.0, 1.0);
}

// The least probability over random directions and the coordinates, times their number (Bonferroni).
double two_sample_probability(const std::vector<float>& drawn, const GaussianMixture& mixture, int count) {
  const auto size = static_cast<size_t>(mixture.size());
  std::vector<std::vector<double>> exact;
  for (int i = 0; i < count; ++i) exact.push_back(mixture.sample(3, static_cast<uint32_t>(i)));
  constexpr size_t kDirections = 8;
  double least = 1;
  for (size_t d = 0; d < kDirections + size; ++d) {
    std::vector<double> direction(size, 0.0), ours, theirs;
    if (d >= kDirections) {
      direction[d - kDirections] = 1;
    } else {
      for (size_t j = 0; j < size; ++j)
        direction[j] = host_normal(philox4x32(1, static_cast<uint32_t>(j), static_cast<uint32_t>(d), 0, 0x0AC1Eu), 0);
    }
    for (int i = 0; i < count; ++i) {
      double a = 0, b = 0;
      for (size_t j = 0; j < size; ++j) {
        a += direction[j] * static_cast<double>(drawn[i * size + j]);
        b += direction[j] * exact[i][j];
      }
      ours.push_back(a);
      theirs.push_back(b);
    }
    least = std::min(least, ks_probability(ours, theirs));
  }
  return std::min(1.0, least * static_cast<double>(kDirections + size));
}

// E (x_j - mean_j)^4: of a normal of variance v at a distance d, 3 v^2 + 6 v d^2 + d^4.
double fourth_moment(const GaussianMixture& mixture, double mean, size_t j) {
  const auto size = static_cast<size_t>(mixture.size());
  double fourth = 0;
  for (size_t at = j; at < mixture.means().size(); at += size) {
    const double v = mixture.variances()[at], square = std::pow(mixture.means()[at] - mean, 2);
    fourth += std::exp(mixture.log_weights()[at / size]) * (3 * v * v + 6 * v * square + square * square);
  }
  return fourth;
}

// Means and variances of each number within five standard errors of what they are.
void expect_moments(const std::vector<float>& drawn, const GaussianMixture& mixture, int count) {
  const auto size = static_cast<size_t>(mixture.size());
  const std::vector<double> mean = mixture.mean(), variance = mixture.variance();
  for (size_t j = 0; j < size; ++j) {
    double sum = 0, squares = 0;
    for (int i = 0; i < count; ++i) {
      const double off = static_cast<double>(drawn[i * size + j]) - mean[j];
      sum += off / count, squares += off * off / count;
    }
    EXPECT_NEAR(sum, 0, 5 * std::sqrt(variance[j] / count)) << "mean of number " << j;
    const double spread = fourth_moment(mixture, mean[j], j) - variance[j] * variance[j];
    EXPECT_NEAR(squares, variance[j], 5 * std::sqrt(spread / count)) << "variance of number " << j;
  }
}

// fine_steps: for the moments of samplers of first order, whose variances are some percent short at their usual number
// of steps; 0: the usual. sim, where a draw takes some hundred times as long, has few of them.
struct Case {
  const char* sampler;
  int fine_steps = 0;
  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.sampler; }
};

// On one thread: beside other tests a second one waits more than it helps.
class OracleStates : public ::testing::Test {
 protected:
  void SetUp() override { set_device_threads(1); }
  void TearDown() override { set_device_threads(0); }
};
class OracleSamplers : public OracleStates, public ::testing::WithParamInterface<Case> {};

TEST_P(OracleSamplers, ReachThePrior) {
  const auto [sampler, fine_steps] = GetParam();
  const int count = !is_sim() ? 10000 : kSanitized ? 4 : 32;
  for (const Json& file : {two_bumps(), three_images()}) {
    const Oracle oracle(file);
    SCOPED_TRACE(join_text(sampler, ", ", oracle.mixture.size(), " numbers"));
    const auto draw = [&](int steps) {
      if (is_sim() && sampler == std::string("ddpm")) steps = 200;
      const NoiseSchedule schedule(oracle.loaded.scheduler);
      return oracle.draw(sampling_table(sampler_named(sampler), schedule, {.steps = steps}), count,
                         std::min(count, 2500));
    };
    const std::vector<float> drawn = draw(0);
    const double probability = two_sample_probability(drawn, oracle.mixture, count);
    EXPECT_GT(probability, 0.001);
    RecordProperty(join_text("probability_", oracle.mixture.size()), join_text(probability));
    expect_moments(fine_steps ? draw(fine_steps) : drawn, oracle.mixture, count);
  }
}

INSTANTIATE_TEST_SUITE_P(All, OracleSamplers,
                         ::testing::Values(Case{"ddpm"}, Case{"ddim", 250}, Case{"euler", 250},
                                           Case{"euler-ancestral", 250}, Case{"heun"}, Case{"kdpm2"}, Case{"lms"},
                                           Case{"deis"}, Case{"dpm++2m"}, Case{"dpm++2m-sde"}, Case{"dpm++3m"},
                                           Case{"unipc"}),
                         [](const auto& info) {
                           std::string name = info.param.sampler;
                           for (char& c : name)
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = c == '+' ? 'p' : '_';
                           return name;
                         });

// The two-sample test itself: it sees a mean that is off by a tenth of a standard deviation.
TEST(OracleTest, SeesAShift) {
  const GaussianMixture mixture = mixture_config_from_json(two_bumps(), "m.json", nullptr).mixture();
  for (const double shift : {0.0, 0.1}) {
    std::vector<float> drawn;
    for (uint32_t i = 0; i < 10000; ++i)
      for (const double value : mixture.sample(4, i)) drawn.push_back(static_cast<float>(value + shift));
    const double probability = two_sample_probability(drawn, mixture, 10000);
    EXPECT_EQ(probability > 0.001, shift == 0) << probability;
  }
}

// DDIM with eta 1 on the full grid, nothing clipped, is ancestral sampling with the posterior's variance (Song et al.
// 2021, section 4.1): the same states on the same noise.
TEST_F(OracleStates, DdimOfEtaOneIsDdpm) {
  const Oracle oracle(three_images());
  SchedulerConfig config = oracle.loaded.scheduler;
  if (is_sim()) config.num_train_timesteps = kSanitized ? 10 : 60;
  const NoiseSchedule schedule(config);
  constexpr int kImages = 8;
  const auto states = [&](const char* sampler, const std::vector<std::string>& set) {
    const ReverseTable table =
        sampling_table(sampler_named(sampler), schedule, {.steps = schedule.steps(), .set = set});
    ReverseSettings settings;
    settings.batch = kImages;
    settings.seed = 5;
    ReverseProcess process(oracle.loaded.network, table, nullptr, settings);
    std::vector<std::vector<float>> after;
    process.all(0, kImages, nullptr, nullptr, [&](int) { after.push_back(process.state()); });
    return after;
  };
  const auto ddpm = states("ddpm", {}), ddim = states("ddim", {"eta=1"});
  ASSERT_EQ(ddpm.size(), static_cast<size_t>(schedule.steps()));
  ASSERT_EQ(ddim.size(), ddpm.size());
  double worst = 0;
  for (size_t row = 0; row < ddpm.size(); ++row) {
    double apart = 0;
    for (size_t i = 0; i < ddpm[row].size(); ++i)
      apart = std::max(apart, static_cast<double>(std::fabs(ddpm[row][i] - ddim[row][i])));
    EXPECT_LE(apart, 1e-5) << "after row " << row;
    worst = std::max(worst, apart);
  }
  RecordProperty("worst", join_text(worst));
}

}  // namespace
}  // namespace ito::test
