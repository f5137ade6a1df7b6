// SPDX-License-Identifier: Apache-2.0
// Every sampler there is, with an exact network in the network's place: what it draws must be the data's distribution.
// Moments against the mixture's, and a two-sample test against exact draws; where two samplers are one algorithm, their
// states; and DDIM backwards, which leads to the noise that an image came from.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/reverse/adaptive_process.h"
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

  // Images 0 .. count-1 of the sampler, for a model of the family.
  std::vector<float> draw(const Sampler& sampler, Family family, const SamplingSettings& how, int count,
                          const std::vector<float>* noise = nullptr) const {
    SchedulerConfig config = loaded.scheduler;
    config.family = family;
    config.sigma_min = 0.01, config.sigma_max = 50;  // of ve: Song et al. 2021
    const NoiseSchedule schedule(config);
    ReverseSettings settings;
    settings.batch = std::min(count, 2500);
    settings.seed = 11;
    const float* begin = noise ? noise->data() : nullptr;
    if (sampler.adaptive)
      return AdaptiveProcess(loaded.network, adaptive_plan(sampler, schedule, how), nullptr, settings)
          .all(0, count, begin, nullptr)
          .numbers;
    return ReverseProcess(loaded.network, sampling_table(sampler, schedule, how), nullptr, settings)
        .all(0, count, begin, nullptr)
        .numbers;
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

// A sampler, on a model of a family.
struct Case {
  const Sampler* sampler;
  Family family;
  bool small = false;  // on the mixture of two numbers alone
  std::string name() const {
    std::string name = join_text(sampler->name, "_", name_of(family));
    for (char& c : name)
      if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = c == '+' ? 'p' : '_';
    return name;
  }
  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.name(); }
};

// Every sampler of the list but the one that ends in noise, for which DdimBackwards stands. The rules of stochastic
// differential equations are others for each family; the rest see one family through another, and walk one whose levels
// their grid is made for. Those of flow walk vp's: the mixture answers eps, which says nothing of x0 at pure noise.
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Sampler* sampler : samplers()) {
    if (sampler->name == std::string_view("ddim-inverse")) continue;
    if (sampler->families != kAllFamilies) {
      cases.push_back({sampler, Family::VpSde});
      for (const Family family : {Family::SubVp, Family::Ve}) cases.push_back({sampler, family, true});
    } else if (sampler->grid == GridKind::Karras || sampler->grid == GridKind::Geometric) {
      cases.push_back({sampler, Family::Ve});
    } else {
      cases.push_back({sampler, sampler->grid == GridKind::Continuous ? Family::VpSde : Family::Vp});
    }
  }
  return cases;
}

struct How {
  const char* sampler;
  SamplingSettings settings;
};
// In place of the usual settings. A Langevin step that is found from the image's own norms grows where the score is
// small, by which N numbers come to have about (1 + 2 / N)^2 of their variance: nothing for images, a quarter more for
// 16 numbers. The other corrector's step knows its level alone.
const How kOwnSettings[] = {{"predictor-corrector", {.set = {"corrector=annealed-langevin"}}}};
// For the moments of samplers whose variances are some percent off at their usual number of steps. Leading timesteps
// of which the smallest is dropped reach the last ones of the schedule where n + 1 divides it.
const How kFiner[] = {
    {"ddim", {.steps = 250}},    {"euler", {.steps = 250}},           {"euler-ancestral", {.steps = 250}},
    {"dpm++1s", {.steps = 199}}, {"kdpm2-ancestral", {.steps = 100}}, {"dpm++sde", {.steps = 50}},
    {"edm-heun", {.steps = 40}}, {"flow-euler", {.steps = 250}}};

template <size_t N>
const SamplingSettings* settings_for(const How (&list)[N], const Sampler& sampler) {
  const auto at = std::find_if(std::begin(list), std::end(list),
                               [&](const How& one) { return one.sampler == std::string_view(sampler.name); });
  return at == std::end(list) ? nullptr : &at->settings;
}

// On one thread: beside other tests a second one waits more than it helps.
class OracleStates : public ::testing::Test {
 protected:
  void SetUp() override { set_device_threads(1); }
  void TearDown() override { set_device_threads(0); }
};
class OracleSamplers : public OracleStates, public ::testing::WithParamInterface<Case> {};

TEST_P(OracleSamplers, ReachThePrior) {
  const Sampler& sampler = *GetParam().sampler;
  const SamplingSettings *own = settings_for(kOwnSettings, sampler), *finer = settings_for(kFiner, sampler);
  const int count = !is_sim() ? 10000 : kSanitized ? 4 : 32;
  for (const Json& file : {two_bumps(), three_images()}) {
    const Oracle oracle(file);
    if (GetParam().small && oracle.mixture.size() > 2) continue;
    SCOPED_TRACE(join_text(GetParam().name(), ", ", oracle.mixture.size(), " numbers"));
    const auto draw = [&](const SamplingSettings& how) { return oracle.draw(sampler, GetParam().family, how, count); };
    const std::vector<float> drawn = draw(own ? *own : SamplingSettings{});
    const double probability = two_sample_probability(drawn, oracle.mixture, count);
    EXPECT_GT(probability, 0.001);
    RecordProperty(join_text("probability_", oracle.mixture.size()), join_text(probability));
    expect_moments(finer ? draw(*finer) : drawn, oracle.mixture, count);
  }
}

INSTANTIATE_TEST_SUITE_P(All, OracleSamplers, ::testing::ValuesIn(all_cases()),
                         [](const auto& info) { return info.param.name(); });

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

// Exact draws to the noise that they come from, which is standard normal, and back. DDIM is of first order, and what is
// missing after the way back falls with the step.
TEST_F(OracleStates, DdimBackwardsLeadsToTheNoiseAndBack) {
  const int count = is_sim() ? 8 : 10000, few = is_sim() ? 20 : 60;
  for (const Json& file : {two_bumps(), three_images()}) {
    const Oracle oracle(file);
    SCOPED_TRACE(join_text(oracle.mixture.size(), " numbers"));
    std::vector<float> images;
    for (int i = 0; i < count; ++i)
      for (const double x : oracle.mixture.sample(17, static_cast<uint32_t>(i)))
        images.push_back(static_cast<float>(x));
    const auto missing = [&](int steps) {
      const auto run = [&](const char* sampler, const std::vector<float>& from) {
        return oracle.draw(sampler_named(sampler), Family::Vp, {.steps = steps}, count, &from);
      };
      const std::vector<float> noise = run("ddim-inverse", images), back = run("ddim", noise);
      if (steps != few) {
        const std::vector<double> nothing(images.size() / static_cast<size_t>(count), 0.0);
        const GaussianMixture normal({1}, nothing, std::vector<double>(nothing.size(), 1.0));
        const double probability = two_sample_probability(noise, normal, count);
        EXPECT_GT(probability, 0.001) << "the noise";
        RecordProperty(join_text("probability_", nothing.size()), join_text(probability));
      }
      double squares = 0;
      for (size_t i = 0; i < images.size(); ++i) squares += std::pow(back[i] - images[i], 2);
      return std::sqrt(squares / static_cast<double>(images.size()));
    };
    const double coarse = missing(few), fine = missing(4 * few);
    EXPECT_LT(fine, coarse / 3);
    EXPECT_LT(fine, 0.05);
    RecordProperty(join_text("missing_", oracle.mixture.size()), join_text(fine));
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
    process.all(0, kImages, nullptr, nullptr, {.after = [&](int) { after.push_back(process.state()); }});
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
