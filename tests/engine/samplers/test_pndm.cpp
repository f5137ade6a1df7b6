// SPDX-License-Identifier: Apache-2.0
// PNDM and iPNDM: the calls they make, the weights of their multistep rule, and short runs.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/samplers/lagrange.h"
#include "tests/engine/samplers/sampler_on_levels.h"

namespace ito::test {
namespace {

std::vector<ReverseRow> rows_of(const char* sampler, int steps, std::vector<std::string> set = {},
                                bool to_one = false) {
  SchedulerConfig config;
  config.set_alpha_to_one = to_one;
  return sampling_table(sampler_named(sampler), NoiseSchedule(config), {.steps = steps, .set = std::move(set)}).rows;
}
std::vector<float> times_of(const std::vector<ReverseRow>& rows) {
  std::vector<float> times;
  for (const ReverseRow& row : rows) times.push_back(row.timestep);
  return times;
}

// The published coefficients, of even steps.
TEST(AdamsBashforth, Weights) {
  const std::vector<std::vector<double>> published = {
      {1}, {3 / 2.0, -1 / 2.0}, {23 / 12.0, -16 / 12.0, 5 / 12.0}, {55 / 24.0, -59 / 24.0, 37 / 24.0, -9 / 24.0}};
  std::vector<double> nodes;
  for (const std::vector<double>& weights : published) {
    nodes.push_back(-static_cast<double>(nodes.size()));
    const std::vector<double> ours = integrated_polynomials(nodes, 1);
    ASSERT_EQ(ours.size(), weights.size());
    for (size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(ours[i], weights[i], 1e-14) << weights.size() << " " << i;
  }
}

// H = 100, half = 50: four calls for each of the first three steps, and then one; or the second timestep twice.
TEST(Pndm, CallsTheNetworkAt) {
  EXPECT_EQ(times_of(rows_of("pndm", 10)), (std::vector<float>{900, 850, 850, 800, 800, 750, 750, 700, 700, 650, 650,
                                                               600, 600, 500, 400, 300, 200, 100, 0}));
  EXPECT_EQ(times_of(rows_of("pndm", 10, {"skip_prk_steps=true"})),
            (std::vector<float>{900, 800, 800, 700, 600, 500, 400, 300, 200, 100, 0}));
  // Runs too short for three steps of the start keep their last one for the multistep rule.
  EXPECT_EQ(times_of(rows_of("pndm", 3)), (std::vector<float>{666, 499, 499, 333, 333, 166, 166, 0, 0}));
  EXPECT_EQ(times_of(rows_of("pndm", 1)), std::vector<float>{0});
  EXPECT_EQ(times_of(rows_of("pndm", 2, {"skip_prk_steps=true"})), (std::vector<float>{500, 0, 0}));
  EXPECT_EQ(times_of(rows_of("pndm", 1, {"skip_prk_steps=true"})), std::vector<float>{0});
}

// The last step is DDIM's of the combined answer: to abar_0, or to clean data, where nothing of it is left.
TEST(Pndm, EndsAtTheFirstTimestepOrAtCleanData) {
  const Levels levels{NoiseSchedule(SchedulerConfig{})};
  const Level first = levels.at(0);
  const ReverseRow noisy = rows_of("pndm", 10).back(), clean = rows_of("pndm", 10, {}, true).back();
  const auto sum = [](const ReverseRow& row) {
    double of_answers = row.weight[0][kPred];
    for (int r = 0; r < kRegisters; ++r) of_answers += row.weight[0][kRegister0 + r];
    return of_answers;
  };
  EXPECT_NEAR(noisy.weight[0][kX], 1, 1e-6) << "from the first timestep to itself";
  EXPECT_NEAR(sum(noisy), 0, 1e-6);
  EXPECT_NEAR(clean.weight[0][kX], 1 / first.alpha, 1e-6);
  EXPECT_NEAR(sum(clean), -first.sigma / first.alpha, 1e-6);
}

// The levels are iPNDM's where the schedule has them, and it is asked at the timesteps that have those levels.
TEST(Ipndm, WalksItsOwnLevels) {
  const Levels levels{NoiseSchedule(SchedulerConfig{})};
  constexpr int kSteps = 8;
  const std::vector<ReverseRow> rows = rows_of("ipndm", kSteps);
  ASSERT_EQ(rows.size(), static_cast<size_t>(kSteps));
  EXPECT_EQ(rows[0].timestep, 999) << "in place of pure noise";
  for (size_t i = 1; i < rows.size(); ++i) {
    const double angle = std::acos(0.0) * static_cast<double>(rows.size() - i) / kSteps;
    EXPECT_NEAR(rows[i].sigma, std::pow(std::sin(angle), 2), 1e-6) << i;
    EXPECT_NEAR(rows[i].alpha * rows[i].alpha + rows[i].sigma * rows[i].sigma, 1, 1e-6) << i;
    EXPECT_NEAR(levels.at(rows[i].timestep).sigma, rows[i].sigma, 1e-4) << i << ": s is not linear between timesteps";
  }
}

// Down to timestep 200, which both grids hold. Steps that are even in t are not even in s, so errors fall with their
// square at best; a v that is combined before it is read leaves first order.
TEST(Pndm, OrdersOfAccuracy) {
  struct Case {
    const char *predicts, *published;
    double order;
  };
  const Case cases[] = {
      {"epsilon", "published=true", 2}, {"v_prediction", "published=false", 2}, {"v_prediction", "published=true", 1}};
  for (const auto& [predicts, published, order] : cases)
    for (const char* start : {"skip_prk_steps=false", "skip_prk_steps=true"}) {
      SchedulerConfig config;
      config.prediction_type = quantity_of(predicts, "");
      const Levels levels{NoiseSchedule(config)};
      const auto spread = [&](const Level& l) {
        return std::sqrt(l.alpha * l.alpha * kDataVariance + l.sigma * l.sigma);
      };
      const auto network = [&](double x, double t) {
        const Level l = levels.at(t);
        const double eps = l.sigma * x / (spread(l) * spread(l));
        return config.prediction_type == Quantity::epsilon() ? eps : (eps - l.sigma * x) / l.alpha;
      };
      const auto error = [&](int steps) {
        ReverseTable table =
            sampling_table(sampler_named("pndm"), NoiseSchedule(config), {.steps = steps, .set = {start, published}});
        const auto end = std::find_if(table.rows.begin(), table.rows.end(),
                                      [](const ReverseRow& row) { return row.timestep == 200; });
        const Level from = levels.at(table.rows[0].timestep);
        table.rows.erase(end, table.rows.end());
        ref::RowRun run{.x = {1.0}, .registers = {}};
        run.registers.assign(table.registers, {0.0});
        ref::run_rows(table.rows, 1, run, network, [](size_t, int) { return 0.0; });
        return std::fabs(run.x[0] / (spread(levels.at(200)) / spread(from)) - 1);
      };
      EXPECT_NEAR(measured_order(error(50), error(100)), order, 0.3) << predicts << " " << published << " " << start;
    }
}

TEST(Ipndm, SecondOrder) {
  const SchedulerConfig config;
  const auto error = [&](int steps) {
    std::vector<Level> nodes;
    for (int i = 0; i <= steps; ++i) {
      const double sigma = std::pow(std::sin(std::acos(0.0) * (0.95 - 0.9 * i / steps)), 2);
      nodes.push_back(level_of_ratio(sigma / std::sqrt(1 - sigma * sigma)));
    }
    const SamplingProblem problem = problem_on(nodes, "ipndm", {}, normal_reading(), config);
    return error_of(problem.sampler.table(problem), nodes);
  };
  EXPECT_NEAR(measured_order(error(100), error(200)), 2, 0.3);
}

}  // namespace
}  // namespace ito::test
