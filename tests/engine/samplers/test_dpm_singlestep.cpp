// SPDX-License-Identifier: Apache-2.0
// Singlestep DPM-Solvers: the blocks, and that each block integrates the estimates it was made for.
#include "engine/samplers/dpm_singlestep.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/engine/samplers/sampler_on_levels.h"

namespace ito::test {
namespace {

using Orders = std::vector<int>;

TEST(DpmSinglestep, Blocks) {
  EXPECT_EQ(singlestep_orders(6, 2, false, false), (Orders{1, 2, 1, 2, 1, 2}));
  EXPECT_EQ(singlestep_orders(6, 2, true, false), (Orders{1, 2, 1, 2, 1, 1}));
  EXPECT_EQ(singlestep_orders(6, 2, false, true), (Orders{1, 2, 1, 2, 1, 1}));
  EXPECT_EQ(singlestep_orders(5, 2, false, false), (Orders{1, 2, 1, 2, 1}));
  EXPECT_EQ(singlestep_orders(6, 3, false, false), (Orders{1, 2, 3, 1, 2, 3}));
  EXPECT_EQ(singlestep_orders(6, 3, true, false), (Orders{1, 2, 3, 1, 2, 1}));
  EXPECT_EQ(singlestep_orders(7, 3, false, false), (Orders{1, 2, 3, 1, 2, 3, 1}));
  EXPECT_EQ(singlestep_orders(8, 3, false, false), (Orders{1, 2, 3, 1, 2, 3, 1, 2}));
  EXPECT_EQ(singlestep_orders(8, 3, false, true), (Orders{1, 2, 3, 1, 2, 3, 1, 1}));
  EXPECT_EQ(singlestep_orders(4, 1, true, true), (Orders{1, 1, 1, 1}));
  for (const int order : {1, 2, 3})
    for (int steps = 1; steps <= 30; ++steps)
      for (const bool shortens : {false, true})
        for (const bool clean : {false, true}) {
          const Orders orders = singlestep_orders(steps, order, shortens, clean);
          ASSERT_EQ(orders.size(), static_cast<size_t>(steps));
          ASSERT_EQ(orders[0], 1);
          for (size_t i = 1; i < orders.size(); ++i) ASSERT_TRUE(orders[i] == 1 || orders[i] == orders[i - 1] + 1);
          ASSERT_TRUE(!clean || orders.back() == 1);
        }
}

// One step of first order at a time is what the multistep solver does with one estimate.
TEST(DpmSinglestep, FirstOrderIsTheMultistepSolvers) {
  const NoiseSchedule schedule{SchedulerConfig{}};
  for (const char* end : {"final_sigmas_type=zero", "final_sigmas_type=sigma_min"}) {
    const auto rows = [&](const char* sampler, std::vector<std::string> set) {
      set.emplace_back(end);
      return sampling_table(sampler_named(sampler), schedule, {.steps = 12, .set = set});
    };
    const ReverseTable single = rows("dpm++1s", {}), multi = rows("dpm++2m", {"solver_order=1"});
    EXPECT_EQ(single.registers, 0);
    ASSERT_EQ(single.rows.size(), multi.rows.size());
    for (size_t i = 0; i < multi.rows.size(); ++i) {
      EXPECT_EQ(single.rows[i].timestep, multi.rows[i].timestep);
      for (const Source source : {kX, kX0, kEps})
        EXPECT_EQ(single.rows[i].weight[0][source], multi.rows[i].weight[0][source]) << end << " row " << i;
    }
  }
}

// Estimates that are a polynomial in lambda of degree below the block's order are integrated over the block exactly,
// where all differences are used (heun). The integral is Simpson's, of 2000 intervals.
TEST(DpmSinglestep, BlocksIntegrateTheirPolynomials) {
  struct Form {
    const char *type, *predicts;
    double (*divisor)(const Level&);   // of the state, which then grows by the integral of the estimate dV
    double (*density)(double lambda);  // dV / dlambda
  };
  const Form forms[] = {
      {"dpmsolver++", "sample", [](const Level& l) { return l.sigma; }, [](double u) { return std::exp(u); }},
      {"dpmsolver", "epsilon", [](const Level& l) { return l.alpha; }, [](double u) { return -std::exp(-u); }},
      {"sde-dpmsolver++", "sample", [](const Level& l) { return l.sigma * l.s(); },
       [](double u) { return 2 * std::exp(2 * u); }},
  };
  for (const Form& form : forms)
    for (const int order : {1, 2, 3}) {
      SchedulerConfig config;
      config.prediction_type = quantity_of(form.predicts, "");
      config.timestep_spacing = TimestepSpacing::Linspace;
      const Levels levels{NoiseSchedule(config)};
      const std::vector<std::string> set = {std::string("algorithm_type=") + form.type, "solver_type=heun",
                                            "final_sigmas_type=sigma_min", "solver_order=" + std::to_string(order)};
      const int steps = 6 * order;
      const ReverseTable table =
          sampling_table(sampler_named("dpm++2s"), NoiseSchedule(config), {.steps = steps, .set = set});
      const auto level = [&](size_t row) { return levels.at(row < table.rows.size() ? table.rows[row].timestep : 0); };
      for (int degree = 0; degree < order; ++degree) {
        const auto estimate = [&](double lambda) { return std::pow(lambda, degree); };
        ref::RowRun run{.x = {0.0}, .registers = {}};
        run.registers.assign(table.registers, {0.0});
        std::vector<double> states = {0};  // at the ends of blocks
        ref::run_rows(
            table.rows, 1, run, [&](double, double t) { return estimate(levels.at(t).lambda()); },
            [](size_t, int) { return 0.0; },
            [&](size_t row) {
              if ((row + 1) % order == 0) states.push_back(run.x[0] / form.divisor(level(row + 1)));
            });
        for (size_t block = 0; block + 1 < states.size(); ++block) {
          const double from = level(block * order).lambda(), to = level((block + 1) * order).lambda();
          constexpr int kIntervals = 2000;
          double integral = 0, size = 0;
          for (int k = 0; k <= kIntervals; ++k) {
            const double u = from + (to - from) * k / kIntervals;
            const double weight = (k == 0 || k == kIntervals ? 1 : k % 2 ? 4 : 2) * (to - from) / (3 * kIntervals);
            integral += weight * estimate(u) * form.density(u);
            size += std::fabs(weight * estimate(u) * form.density(u));
          }
          // Weights are floats, of both signs and up to some ten times the step.
          const double reached = std::max(std::fabs(states[block]), std::fabs(states[block + 1]));
          EXPECT_NEAR(states[block + 1] - states[block], integral, 1e-5 * size + 5e-7 * reached)
              << form.type << " order " << order << ", degree " << degree << ", block " << block;
        }
      }
    }
}

// On levels even in lambda, from s = 20 to 0.05: twice the steps leave 2^-order of the error.
TEST(DpmSinglestep, OrdersOfAccuracy) {
  const SchedulerConfig config;
  const auto order_of = [&](const char* sampler, const std::vector<std::string>& set, int steps) {
    const auto error = [&](int n) {
      std::vector<Level> nodes;
      for (int i = 0; i <= n; ++i)
        nodes.push_back(level_of_ratio(20 * std::pow(0.05 / 20, static_cast<double>(i) / n)));
      const SamplingProblem problem = problem_on(nodes, sampler, set, normal_reading(), config);
      return error_of(problem.sampler.table(problem), nodes);
    };
    return measured_order(error(steps), error(2 * steps));
  };
  EXPECT_NEAR(order_of("dpm++1s", {}, 120), 1, 0.1);
  for (const char* type : {"solver_type=midpoint", "solver_type=heun"})
    for (const char* algorithm : {"algorithm_type=dpmsolver++", "algorithm_type=dpmsolver"}) {
      EXPECT_NEAR(order_of("dpm++2s", {type, algorithm}, 120), 2, 0.15) << type << " " << algorithm;
      EXPECT_NEAR(order_of("dpm++2s", {type, algorithm, "solver_order=3"}, 60), 3, 0.25) << type << " " << algorithm;
    }
  EXPECT_NEAR(order_of("dpm++3s", {}, 60), 3, 0.25);
}

}  // namespace
}  // namespace ito::test
