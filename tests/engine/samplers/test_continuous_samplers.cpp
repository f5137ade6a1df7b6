// SPDX-License-Identifier: Apache-2.0
// Samplers of the SDE, of flow and of preconditioned models: grids, starts, and what they refuse.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/samplers/flow.h"
#include "tests/engine/samplers/golden_runs.h"
#include "tests/engine/user_error.h"
#include "tests/ref/reverse_row.h"

namespace ito::test {
namespace {

SchedulerConfig config_of(Family family) {
  SchedulerConfig config;
  config.family = family;
  config.clip_sample = false;
  if (family == Family::Flow) config.prediction_type = quantity_of("flow_prediction", "");
  return config;
}

ReverseTable made(const char* sampler, const SchedulerConfig& config, int steps, std::vector<std::string> set = {}) {
  return sampling_table(sampler_named(sampler), NoiseSchedule(config), {.steps = steps, .set = std::move(set)});
}

// Every level from 1 down to 1/n in equal steps and then 0, which no class of diffusers walks.
TEST(FlowMidpoint, GoldenRun) {
  const SchedulerConfig config = config_of(Family::Flow);
  const Levels levels((NoiseSchedule(config)));
  SamplingProblem problem{.sampler = sampler_named("flow-midpoint"),
                          .config = config,
                          .levels = levels,
                          .reading = Reading::of(config),
                          .nodes = {},
                          .clip = {},
                          .spacing = TimestepSpacing::Linspace,
                          .values = {1}};
  constexpr int kSteps = 8;
  for (int i = 0; i < kSteps; ++i) problem.nodes.push_back(flow_level(problem, 1 - static_cast<double>(i) / kSteps));
  problem.nodes.push_back(levels.at(-1));
  const ReverseTable table = problem.sampler.table(problem);
  ref::RowRun run{.x = golden_input(), .registers = {}};
  run.registers.assign(table.registers, std::vector<double>(run.x.size(), NAN));
  const double after[] = {339.910614, 301.4525, 267.48875};
  ref::run_rows(
      table.rows, table.first_input_scale, run, network_b, [](size_t, int) { return 0.0; },
      [&](size_t row) {
        if (row % 2 == 0 || row / 2 >= 3) return;
        double sum = 0;
        for (const double x : run.x) sum += x;
        EXPECT_NEAR(sum / after[row / 2], 1, 5e-6) << "after step " << row / 2;
      });
  double sum = 0;
  for (const double x : run.x) sum += std::fabs(x);
  EXPECT_NEAR(sum / 148.558974, 1, 5e-6);
}

TEST(FlowGrid, TheShiftActsTwiceAtTheLowEnd) {
  const ReverseTable table = made("flow-euler", config_of(Family::Flow), 4, {"shift=3"});
  const double expected[] = {1000, 857.692, 602.151, 8.9286};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(table.rows[i].timestep, expected[i], 1e-3) << i;
}

// A step of the flow's Euler rule is one of ddim's: both move along a line of x0 and eps.
TEST(FlowEuler, SamplesAModelOfAnotherFamilyAsDdimDoes) {
  SchedulerConfig config = config_of(Family::Vp);
  const ReverseTable table = made("flow-euler", config, 5);
  EXPECT_EQ(table.rows[0].timestep, 999);
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const double s = table.rows[i].sigma / table.rows[i].alpha;
    EXPECT_NEAR(table.rows[i].alpha + table.rows[i].sigma, 1, 1e-7);
    EXPECT_NEAR(Levels(NoiseSchedule(config)).of_s(s).time, table.rows[i].timestep, 1e-3);
  }
}

TEST(ScoreSde, RunsFromOneToSamplingEps) {
  const ReverseTable table = made("euler-maruyama", config_of(Family::VpSde), 20);
  ASSERT_EQ(table.rows.size(), 20u);
  EXPECT_EQ(table.rows.front().timestep, 999);
  EXPECT_NEAR(table.rows.back().timestep, 0.999, 1e-6);
  EXPECT_EQ(table.start_scale, 1);
  EXPECT_EQ(table.draws, 20) << "the last step's is counted and not drawn";
  EXPECT_EQ(table.rows.back().draw, -1);
  EXPECT_NEAR(made("euler-maruyama", config_of(Family::Ve), 20).start_scale, 80, 1e-9);
}

// The corrector's rows ask for the image's norms, the predictor's do not.
TEST(ScoreSde, CorrectorsComeBeforeTheirPredictor) {
  const ReverseTable table = made("predictor-corrector", config_of(Family::VpSde), 30, {"correct_steps=2", "snr=0.2"});
  ASSERT_EQ(table.rows.size(), 90u);
  for (size_t i = 0; i < table.rows.size(); ++i) {
    EXPECT_EQ(table.rows[i].gauge, i % 3 == 2 ? Gauge::None : Gauge::Langevin) << i;
    if (i % 3 != 2) {
      EXPECT_EQ(table.rows[i].gauge_ratio, 0.2f);
      EXPECT_NEAR(table.rows[i].gauge_most, 1 - (0.1 + 19.9 * std::floor((1 - i / 3 * 0.999 / 29) * 29) / 29) / 30,
                  1e-6)
          << i;
    }
  }
}

// Annealed: the step is 2 a (r sigma)^2 whatever the image.
TEST(ScoreSde, AnnealedCorrectorsHaveAFixedStep) {
  const ReverseTable table =
      made("predictor-corrector", config_of(Family::Ve), 10, {"corrector=annealed-langevin", "snr=0.1"});
  const ReverseRow& row = table.rows[0];
  EXPECT_EQ(row.gauge, Gauge::None);
  EXPECT_NEAR(row.weight[0][kNoise], std::sqrt(2 * 2 * 0.01 * 80.0 * 80.0), 1e-4);
  EXPECT_NEAR(row.weight[0][kEps], -2 * 0.01 * 80.0, 1e-5);
}

TEST(ScoreSde, Refusals) {
  const auto refused = [](const char* sampler, Family family, int steps, std::vector<std::string> set = {}) {
    return user_error([&] { made(sampler, config_of(family), steps, set); });
  };
  EXPECT_NE(refused("euler-maruyama", Family::Flow, 20)
                .find("sampler euler-maruyama: does not sample a flow model, whose forward process has no SDE here"),
            std::string::npos);
  EXPECT_EQ(refused("reverse-diffusion", Family::VpSde, 10),
            "sampler reverse-diffusion: 10 steps are too few, a step's beta is 2; use more than 20");
  EXPECT_EQ(refused("reverse-diffusion", Family::SubVp, 30, {"ancestral=true"}),
            "sampler reverse-diffusion: a sub-vp process has no ancestral step; use reverse-diffusion or "
            "euler-maruyama");
  EXPECT_EQ(refused("reverse-diffusion", Family::VpSde, 30, {"ancestral=true", "flow=true"}),
            "sampler reverse-diffusion: an ancestral step has no probability flow; use reverse-diffusion or "
            "euler-maruyama");
}

// Karras' levels of the model's whole range, from sqrt(80^2 + 1) as diffusers' edm classes begin.
TEST(Edm, WalksItsWholeRange) {
  const ReverseTable table = made("euler", config_of(Family::Edm), 4);
  const double top = std::pow(80, 1.0 / 7), bottom = std::pow(0.002, 1.0 / 7);
  for (int i = 0; i < 4; ++i)
    EXPECT_NEAR(table.rows[i].sigma / std::pow(top + i * (bottom - top) / 3, 7), 1, 1e-6) << i;
  EXPECT_NEAR(table.start_scale, std::sqrt(6401), 1e-9);
  EXPECT_NEAR(made("euler", config_of(Family::Edm), 1).rows[0].sigma, 80, 1e-4);
}

// Whatever the family, every sampler that takes it makes a table of finite numbers, or a plan.
TEST(Families, EverySamplerOfThemMakesATable) {
  for (const Family family : {Family::Vp, Family::VpSde, Family::SubVp, Family::Ve, Family::Edm, Family::Flow})
    for (const Sampler* sampler : samplers()) {
      if (sampler->adaptive || (sampler->families >> static_cast<int>(family) & 1) == 0) continue;
      if (sampler->adaptive) {
        EXPECT_FALSE(adaptive_plan(*sampler, NoiseSchedule(config_of(family)), {}).flow.rows.empty());
        continue;
      }
      EXPECT_FALSE(made(sampler->name, config_of(family), 25).rows.empty())
          << sampler->name << " of " << name_of(family);
    }
}

}  // namespace
}  // namespace ito::test
