// SPDX-License-Identifier: Apache-2.0
// DDIM backwards: what the network is told and how its answer is read, and that DDIM leads back.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/samplers/sampler.h"
#include "tests/ref/reverse_row.h"

namespace ito::test {
namespace {

constexpr double kRounding = 1e-6;  // of a few float coefficients about 1

TEST(DdimInverse, ToldTheTargetReadAtTheCurrentLevel) {
  const SchedulerConfig config;
  const Levels levels{NoiseSchedule(config)};
  const std::vector<ReverseRow> rows =
      sampling_table(sampler_named("ddim-inverse"), NoiseSchedule(config), {.steps = 10}).rows;
  ASSERT_EQ(rows.size(), 10u);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(rows[i].timestep, 100 * i);
    const Level current = levels.at(i == 0 ? -1 : 100 * (i - 1)), target = levels.at(100 * i);
    EXPECT_NEAR(rows[i].x0_from_x, 1 / current.alpha, kRounding / current.alpha) << i;
    EXPECT_NEAR(rows[i].x0_from_pred, -current.s(), kRounding * (1 + current.s())) << i;
    EXPECT_NEAR(rows[i].weight[0][kX0], target.alpha, kRounding) << i;
    EXPECT_NEAR(rows[i].weight[0][kEps], target.sigma, kRounding) << i;
  }
}

// From clean data x' = alpha x + sigma eps whatever is predicted; where the answer there says nothing of eps, it is
// read at the target's level.
TEST(DdimInverse, FirstStepOfEveryPrediction) {
  const Level first = Levels(NoiseSchedule(SchedulerConfig{})).at(0);
  constexpr double kImage = 0.4, kAnswer = -0.3;
  for (const Quantity quantity : Quantity::all()) {
    SchedulerConfig config;
    config.prediction_type = quantity;
    const auto row_of = [&] {
      return sampling_table(sampler_named("ddim-inverse"), NoiseSchedule(config), {.steps = 10}).rows[0];
    };
    ref::RowInput in;
    in.x = kImage, in.pred = kAnswer;
    const bool at_target = quantity == Quantity::x0() || quantity == Quantity::score() || quantity == Quantity::mean();
    const StateAt read = at_target ? StateAt{first.alpha, first.sigma, first.previous} : StateAt{1, 1e-9};
    const Conversion c = conversion(quantity, Quantity::epsilon(), read);
    const double eps = c.from_x * kImage + c.from_given * kAnswer;
    EXPECT_NEAR(ref::reverse_element(row_of(), in).to[0], first.alpha * kImage + first.sigma * eps, 2e-6)
        << name_of(quantity);
    // From abar_0 there is a level to read at.
    config.set_alpha_to_one = false;
    EXPECT_NEAR(ref::reverse_element(row_of(), in).to[0], kImage, 2e-6) << name_of(quantity) << ": from abar_0 to it";
  }
}

// Data N(0, v), whose best network is known: there and back again is the same, but for errors that fall with the step.
TEST(DdimInverse, DdimLeadsBack) {
  const SchedulerConfig config;
  const NoiseSchedule schedule(config);
  const Levels levels(schedule);
  const auto network = [&](double x, double t) {
    const Level l = levels.at(t);
    return l.sigma * x / (l.alpha * l.alpha * 0.3 + l.sigma * l.sigma);
  };
  const auto error = [&](int steps) {
    ref::RowRun run{.x = {0.7}, .registers = {}};
    for (const char* sampler : {"ddim-inverse", "ddim"})
      ref::run_rows(sampling_table(sampler_named(sampler), schedule, {.steps = steps, .clip_sample = false}).rows, 1,
                    run, network, [](size_t, int) { return 0.0; });
    return std::fabs(run.x[0] - 0.7);
  };
  EXPECT_LT(error(200), 0.02);
  EXPECT_LT(error(200), error(50) / 2.5);
}

}  // namespace
}  // namespace ito::test
