// SPDX-License-Identifier: Apache-2.0
// Loss weightings: their limits at pure noise and clean data for every quantity, and the rows of every family against
// the published weight of x0 and the reading of the network's answer.
#include "engine/diffusion/weighting.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/diffusion/forward_rows.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

constexpr Family kFamilies[] = {Family::Vp, Family::VpSde, Family::SubVp, Family::Ve, Family::Edm, Family::Flow};

LossWeighting weighting(const std::string& text, const SchedulerConfig& config = {}) {
  return loss_weighting_of(text, config, "--loss-weighting");
}

// The step before, for the reverse mean, is half way to clean data.
StateAt state_at(double alpha, double sigma) {
  return {alpha, sigma, (1 + alpha * alpha) / 2};
}

double weight_at(const LossWeighting& weighting, Quantity quantity, double alpha, double sigma) {
  const StateAt at = state_at(alpha, sigma);
  const Level level{.time = 0, .alpha = alpha, .sigma = sigma, .abar = alpha * alpha, .previous = at.abar_previous};
  const Target target{
      .weight = quantity.loss_weight(at), .input_x0 = alpha, .input_eps = sigma, .answer = quantity.combination(at)};
  return weighting.weight(level, target);
}

// The published weights, of |x0 error|^2.
struct Published {
  std::string text;
  std::function<double(double snr)> of_x0;
};
const Published kPublished[] = {
    {"snr", [](double snr) { return snr; }},
    {"min-snr", [](double snr) { return std::min(snr, 5.0); }},
    {"min-snr:gamma=0.25", [](double snr) { return std::min(snr, 0.25); }},
    {"soft-min-snr", [](double snr) { return 1 / (1 / snr + 0.25); }},
    {"soft-min-snr:gamma=0.25", [](double snr) { return 1 / (1 / snr + 4); }},
    {"p2", [](double snr) { return snr / (1 + snr); }},
    {"p2:k=2,gamma=0.5", [](double snr) { return snr / std::sqrt(2 + snr); }},
    {"p2:k=0.5,gamma=2", [](double snr) { return snr / (0.5 + snr) / (0.5 + snr); }},
    {"velocity", [](double snr) { return std::pow(std::min(1 + std::sqrt(snr), 20.0), 2); }},
    {"velocity:least=0.2,noise_scale=2", [](double snr) { return std::pow(std::min(1 + 2 * std::sqrt(snr), 5.0), 2); }},
};

// What the answer is wrong by, times from_given, is what x0 is wrong by. A dozen roundings.
TEST(Weighting, IsThePublishedWeightOfX0ThroughTheConversion) {
  for (const Published& published : kPublished)
    for (const Quantity quantity : Quantity::all())
      for (const double snr : {1e-6, 0.1, 1.0, 5.0, 40.0, 1e6}) {
        const double alpha = std::sqrt(snr / (1 + snr)), sigma = std::sqrt(1 / (1 + snr));
        const double to_x0 = conversion(quantity, Quantity::x0(), state_at(alpha, sigma)).from_given;
        const double want = published.of_x0(snr) * to_x0 * to_x0;
        EXPECT_NEAR(weight_at(weighting(published.text), quantity, alpha, sigma), want, 16 * 0x1p-52 * want)
            << published.text << " of " << quantity.name() << " at SNR " << snr;
      }
}

TEST(Weighting, HasItsLimits) {
  const double inf = INFINITY, root = std::sqrt(0.5);
  const struct {
    const char* text;
    double at_noise[5], at_data[5];  // of epsilon, sample, v_prediction, score, flow_prediction
  } cases[] = {
      {"none", {1, 1, 1, 1, 1}, {1, 1, 1, 0, 1}},       {"snr", {1, 0, 0, 1, 0}, {1, inf, 1, 0, 1}},
      {"min-snr", {1, 0, 0, 1, 0}, {0, 5, 0, 0, 0}},    {"soft-min-snr", {1, 0, 0, 1, 0}, {0, 4, 0, 0, 0}},
      {"p2", {1, 0, 0, 1, 0}, {0, 1, 0, 0, 0}},         {"p2:k=2,gamma=0.5", {root, 0, 0, root, 0}, {0, inf, 0, 0, 0}},
      {"p2:gamma=2", {1, 0, 0, 1, 0}, {0, 0, 0, 0, 0}}, {"p2:gamma=0", {1, 0, 0, 1, 0}, {1, inf, 1, 0, 1}},
      {"edm", {inf, 4, 4, inf, 4}, {1, inf, 1, 0, 1}},  {"velocity", {inf, 1, 1, inf, 1}, {0, 400, 0, 0, 0}},
  };
  ASSERT_EQ(Quantity::all().size(), 6u) << "these and the reverse mean, which is of a step and has no limit of its own";
  for (const auto& c : cases)
    for (size_t i = 0; i < 5; ++i) {
      const Quantity quantity = Quantity::all()[i];
      EXPECT_DOUBLE_EQ(weight_at(weighting(c.text), quantity, 0, 1), c.at_noise[i]) << c.text << " " << quantity.name();
      EXPECT_DOUBLE_EQ(weight_at(weighting(c.text), quantity, 1, 0), c.at_data[i]) << c.text << " " << quantity.name();
    }
}

// Every row of every family: the weight of x0 at the level's SNR, through what sampling reads of the answer. c_out of a
// preconditioned network and the factor of a family's state are then in it. The rows are fp32, s comes back from abar
// with 1e-10 at 0.002, and the limits stand in for pure noise.
TEST(Weighting, HoldsForEveryFamilyAndQuantity) {
  for (const Family family : kFamilies)
    for (const Quantity quantity : Quantity::all()) {
      SchedulerConfig config;
      config.family = family;
      config.prediction_type = quantity;
      if (family == Family::Edm && quantity != Quantity::epsilon() && quantity != Quantity::v()) continue;
      if (family != Family::Vp && quantity == Quantity::mean()) continue;
      const Levels levels((NoiseSchedule(config)));
      const Reading reading = Reading::of(config);
      for (const Published& published : kPublished) {
        // Where a flow ends in pure noise they say nothing of the velocity: refused, as the limits have it.
        const bool of_noise = quantity == Quantity::epsilon() || quantity == Quantity::score();
        if (family == Family::Flow && of_noise && published.text.starts_with("velocity")) continue;
        const std::vector<ForwardRow> rows = forward_rows(levels, reading, weighting(published.text, config));
        for (int t = 0; t < levels.steps(); t += 37) {
          const Level level = levels.at(t);
          if (level.alpha == 0) continue;  // a flow's last: its limits are above
          const double to_x0 = reading.call(level, Space::Native).x0.from_given;
          const double want = published.of_x0(1 / (level.s() * level.s())) * to_x0 * to_x0;
          EXPECT_NEAR(rows[t].weight, want, 2 * 0x1p-24 * want)
              << name_of(family) << " " << quantity.name() << " " << published.text << " at " << t;
        }
        for (const ForwardRow& row : rows) EXPECT_TRUE(std::isfinite(row.weight) && row.weight >= 0);
      }
    }
}

TEST(Weighting, NoneIsTheQuantitysOwn) {
  for (const Family family : kFamilies) {
    SchedulerConfig config;
    config.family = family;
    config.prediction_type = family == Family::Edm ? Quantity::epsilon() : Quantity::score();
    const Levels levels((NoiseSchedule(config)));
    const Reading reading = Reading::of(config);
    const std::vector<ForwardRow> plain = forward_rows(levels, reading),
                                  none = forward_rows(levels, reading, weighting("none"));
    for (int t = 0; t < levels.steps(); ++t) {
      EXPECT_EQ(plain[t].weight, static_cast<float>(reading.target(levels.at(t)).weight));
      EXPECT_EQ(none[t].weight, plain[t].weight);
    }
  }
}

// 1 / c_out^2 on the denoised image is 1 on the network's F, with the model's own sigma_data.
TEST(Weighting, EdmIsWhatAPreconditionedNetworkHas) {
  SchedulerConfig config;
  config.family = Family::Edm;
  config.sigma_data = 0.7;
  const Levels levels((NoiseSchedule(config)));
  for (const ForwardRow& row : forward_rows(levels, Reading::of(config), weighting("edm", config)))
    EXPECT_NEAR(row.weight, 1, 0x1p-23);
  EXPECT_EQ(weighting("edm", config).text(), "edm:sigma_data=0.7");
  EXPECT_EQ(weighting("edm").text(), "edm:sigma_data=0.5");
  // Of another network it is (s^2 + sd^2) / (s sd)^2 on x0.
  config = {};
  config.prediction_type = Quantity::x0();
  const Levels vp((NoiseSchedule(config)));
  const std::vector<ForwardRow> rows = forward_rows(vp, Reading::of(config), weighting("edm:sigma_data=2", config));
  for (const int t : {0, 500, 999}) {
    const double s = vp.at(t).s(), want = (s * s + 4) / (4 * s * s);
    EXPECT_NEAR(rows[t].weight, want, 2 * 0x1p-24 * want);
  }
}

// The last timestep of a schedule with zero terminal SNR, and of a flow.
TEST(Weighting, AtZeroTerminalSnr) {
  SchedulerConfig config;
  config.rescale_betas_zero_snr = true;
  const auto last = [&](const std::string& text, Quantity quantity) {
    config.prediction_type = quantity;
    return forward_rows(Levels(NoiseSchedule(config)), Reading::of(config), weighting(text, config)).back().weight;
  };
  EXPECT_EQ(last("min-snr", Quantity::v()), 0);
  EXPECT_EQ(last("min-snr", Quantity::epsilon()), 1);
  EXPECT_EQ(last("none", Quantity::v()), 1);
  EXPECT_EQ(last("edm", Quantity::v()), 4);
  EXPECT_EQ(user_error([&] { last("edm", Quantity::epsilon()); }),
            "loss_weighting edm:sigma_data=0.5: its weight of epsilon at timestep 999 is not finite (SNR 0); choose "
            "another weighting or prediction_type");
  config = {};
  config.family = Family::Flow;
  EXPECT_EQ(last("min-snr", Quantity::flow()), 0);
  EXPECT_EQ(last("edm", Quantity::flow()), 4);
}

TEST(Weighting, WordsAndRefusals) {
  EXPECT_EQ(LossWeighting().text(), "none");
  EXPECT_EQ(weighting("none").text(), "none");
  EXPECT_EQ(weighting("min-snr").text(), "min-snr:gamma=5");
  EXPECT_EQ(weighting("p2:gamma=0.1").text(), "p2:k=1,gamma=0.1");
  for (const Weighting* one : weightings()) {
    const std::string text = weighting(one->name).text();
    EXPECT_EQ(weighting(text).text(), text);
  }
  EXPECT_EQ(weighting_lines().at(2), "min-snr: min(SNR, gamma) on the loss of x0; Hang et al. 2023");
  EXPECT_EQ(weighting_lines().at(3), "  gamma=5 (1e-06 to 1e+09): the largest weight of x0");
  const auto refusal = [](const std::string& text) { return user_error([&] { weighting(text); }); };
  EXPECT_EQ(refusal("min-snt"),
            "--loss-weighting: 'min-snt' is not known; use one of 'none', 'snr', 'min-snr', 'soft-min-snr', 'p2', "
            "'edm', 'velocity'; did you mean 'min-snr'?");
  EXPECT_EQ(refusal("min-snr:gama=5"),
            "--loss-weighting min-snr: has no number 'gama'; it has 'gamma'; did you mean 'gamma'?");
  EXPECT_EQ(refusal("snr:k=1"), "--loss-weighting snr: has no number 'k'; it has none");
  EXPECT_EQ(refusal("min-snr:gamma=0"), "--loss-weighting min-snr: gamma is 0; expected 1e-06 to 1e+09");
  EXPECT_EQ(refusal("min-snr:gamma=nan"), "--loss-weighting min-snr: gamma is nan; expected 1e-06 to 1e+09");
  EXPECT_EQ(refusal("min-snr:5"), "--loss-weighting min-snr: '5' is no number of it; expected min-snr:key=value,...");
  EXPECT_EQ(refusal("p2:k=1,k=2"), "--loss-weighting p2: k stands twice; expected once");
  EXPECT_EQ(refusal("p2:"), "--loss-weighting p2: '' is no number of it; expected p2:key=value,...");
}

}  // namespace
}  // namespace ito::test
