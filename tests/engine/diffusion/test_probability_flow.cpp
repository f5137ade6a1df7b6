// SPDX-License-Identifier: Apache-2.0
// The probability flow's rows: along a path of known x0 and eps a network that answers right gives the path's own
// slope, for every family and prediction; and the ends of the flow.
#include "engine/diffusion/probability_flow.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/error.h"

namespace ito {
namespace {

constexpr Family kFamilies[] = {Family::Vp, Family::VpSde, Family::SubVp, Family::Ve, Family::Edm, Family::Flow};

SchedulerConfig config_of(Family family, Quantity quantity) {
  SchedulerConfig config;
  config.family = family;
  config.prediction_type = family == Family::Edm ? Quantity::epsilon() : quantity;
  return config;
}

ProbabilityFlow flow_of(const SchedulerConfig& config, double end = 1e-3) {
  const NoiseSchedule schedule(config);
  const Levels levels(schedule, kTerminalAbar);
  const double last = levels.steps() - 1;
  return probability_flow(levels, Reading::of(config), levels.at(last), levels.at(end * last));
}

// d(alpha x0 + sigma eps)/dl = alpha sigma (alpha eps - sigma x0), in whatever a network is asked and says.
TEST(ProbabilityFlow, IsTheSlopeOfAPathWhateverTheNetworkSays) {
  const double x0 = 0.7, eps = -1.3;
  for (const Family family : kFamilies)
    for (const Quantity quantity : Quantity::all()) {
      if (quantity == Quantity::mean() && family != Family::Vp) continue;  // it is of a chain of timesteps
      const SchedulerConfig config = config_of(family, quantity);
      const ProbabilityFlow flow = flow_of(config);
      const Levels levels{NoiseSchedule(config), kTerminalAbar};
      const Reading reading = Reading::of(config);
      for (size_t i = 0; i < flow.rows.size(); i += 512) {
        const FlowRow& row = flow.rows[i];
        const double s = std::exp(flow.first + static_cast<double>(i) * flow.spacing);
        const double alpha = 1 / std::sqrt(1 + s * s), sigma = s * alpha, x = alpha * x0 + sigma * eps;
        // What such a network is taught at the level, for the input that it is taught with.
        const Target target = reading.target(levels.of_s(s));
        EXPECT_NEAR(row.input_scale * x, target.input_x0 * x0 + std::hypot(target.input_eps, target.input_eps2) * eps,
                    1e-9);
        const double answer = target.answer.x0 * x0 + target.answer.eps * eps;
        EXPECT_NEAR(row.from_x * x + row.from_pred * answer, alpha * sigma * (alpha * eps - sigma * x0), 1e-9)
            << name_of(family) << " " << name_of(quantity) << " at s " << s;
        EXPECT_NEAR(row.time, reading.time(levels.of_s(s)), 1e-9);
      }
      const double alpha = flow.data_alpha, x = alpha * (x0 + std::exp(flow.data) * eps);
      // By its time: between two timesteps, that of its s may be another, and the reverse mean with it.
      const Target target = reading.target(levels.at(1e-3 * (levels.steps() - 1)));
      const double answer = target.answer.x0 * x0 + target.answer.eps * eps;
      EXPECT_NEAR(flow.x0.from_x * x + flow.x0.from_pred * answer, x0, 1e-9)
          << name_of(family) << " " << name_of(quantity);
    }
}

// A prediction of x0 or eps has bounded slopes, and nothing is asked beyond the ends.
TEST(ProbabilityFlow, RunsFromNoiseToData) {
  for (const Family family : kFamilies) {
    const Quantity quantity = family == Family::Flow ? Quantity::flow() : Quantity::epsilon();
    const ProbabilityFlow flow = flow_of(config_of(family, quantity));
    EXPECT_LT(flow.data, flow.noise) << name_of(family);
    EXPECT_LE(flow.noise, std::log(4096) + 1e-12) << name_of(family);
    EXPECT_NEAR(flow.first + static_cast<double>(flow.rows.size() - 1) * flow.spacing, flow.noise, 1e-12);
    const bool keeps_data = family == Family::Ve || family == Family::Edm;
    EXPECT_EQ(flow.noise_std == 1, !keeps_data) << name_of(family);
    for (const FlowRow& row : flow.rows)
      ASSERT_TRUE(std::isfinite(row.time + row.input_scale + row.from_x + row.from_pred)) << name_of(family);
    EXPECT_EQ(flow.least_time(), flow.rows.front().time) << name_of(family);
  }
  // s of the first timestep and the last one.
  const ProbabilityFlow vp = flow_of(config_of(Family::Vp, Quantity::epsilon()), 0);
  EXPECT_NEAR(std::exp(vp.data), std::sqrt(1 / (1 - 1e-4) - 1), 1e-12);
  EXPECT_NEAR(std::exp(vp.noise), 157.41, 0.01);
  EXPECT_NEAR(std::exp(flow_of(config_of(Family::Edm, Quantity::epsilon())).noise), 80, 1e-9);
  EXPECT_NEAR(std::exp(flow_of(config_of(Family::Flow, Quantity::flow())).noise), 4096, 1e-3);
  // A preconditioned network is given ln(s) / 4, below 0 at the end.
  EXPECT_LT(flow_of(config_of(Family::Edm, Quantity::epsilon())).least_time(), 0);
}

TEST(ProbabilityFlow, NeedsTwoLevels) {
  SchedulerConfig config;
  config.num_train_timesteps = 1;
  EXPECT_THROW(flow_of(config), UserError);
}

}  // namespace
}  // namespace ito
