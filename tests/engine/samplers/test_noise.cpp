// SPDX-License-Identifier: Apache-2.0
// What samplers add to a run by chance: ancestral noise, churn, the reverse SDE's. Level by level, and in law.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/samplers/sampler.h"
#include "tests/ref/reverse_row.h"

namespace ito::test {
namespace {

using Row = ReverseRow;

ReverseTable table_of(const char* sampler, SamplingSettings settings) {
  settings.clip_sample = false;
  settings.timestep_spacing = TimestepSpacing::Linspace;
  return sampling_table(sampler_named(sampler), NoiseSchedule(SchedulerConfig{}), settings);
}

double noise_of(const Row& row) {
  return row.draw >= 0 ? row.weight[0][kNoise] : 0;
}

// The draws of a linear run are independent, so its end is normal with the sum of squares of what each draw alone
// brings there: element 0 is the first state's, element k + 1 that of draw k.
double variance_at_the_end(const ReverseTable& table, const std::function<double(double, double)>& network) {
  ref::RowRun run{.x = std::vector<double>(static_cast<size_t>(table.draws) + 1, 0.0), .registers = {}};
  run.x[0] = table.start_scale;
  run.registers.assign(table.registers, run.x);
  ref::run_rows(table.rows, table.first_input_scale, run, network,
                [](size_t element, int draw) { return element == static_cast<size_t>(draw) + 1 ? 1.0 : 0.0; });
  double sum = 0;
  for (const double x : run.x) sum += x * x;
  return sum;
}

// Data N(0, v): the best eps network is linear, and every sampler must end in N(0, v), whatever it draws on the way.
// Four times the steps leave a quarter of the error of a rule of first order, on levels this uneven somewhat more; a
// wrong law would stay.
TEST(NoiseOfSamplers, EndsInTheLawOfTheData) {
  constexpr double kVariance = 0.3;
  const Levels levels{NoiseSchedule(SchedulerConfig{})};
  const auto network = [&](double x, double t) {
    const Level l = levels.at(t);
    return l.sigma * x / (l.alpha * l.alpha * kVariance + l.sigma * l.sigma);
  };
  struct Case {
    const char* sampler;
    std::vector<std::string> set;
    bool first_order = false;  // the rule; the noise of two stages that do not know each other's makes it so, too
  };
  const std::string churn = "s_churn=40", sde = "algorithm_type=sde-dpmsolver++";
  const Case cases[] = {
      {"euler-ancestral", {}, true},
      {"kdpm2-ancestral", {}},
      {"dpm++2s-ancestral", {}},
      {"dpm++sde", {}},
      {"dpm++sde", {"one_path=false"}, true},
      {"dpm++2m-sde", {}},
      {"dpm++2s", {sde}, true},
      {"dpm++2s", {sde, "solver_type=heun", "solver_order=3"}, true},
      {"euler", {churn}, true},
      {"heun", {churn}},
      {"kdpm2", {churn}},
      {"edm-heun", {churn}},
      {"edm-heun", {churn, "s_tmin=0.1", "s_tmax=2"}},
  };
  for (const Case& one : cases) {
    const auto error = [&](int steps) {
      const ReverseTable table = table_of(one.sampler, {.steps = steps, .set = one.set});
      EXPECT_GT(table.draws, steps / 2) << one.sampler;
      return std::fabs(variance_at_the_end(table, network) / kVariance - 1);
    };
    const double coarse = error(100), fine = error(400);
    EXPECT_LT(fine, one.first_order ? 0.1 : 0.005) << one.sampler;
    EXPECT_LT(fine, coarse / (one.first_order ? 2 : 6)) << one.sampler;
  }
}

// Every call is made at the level that the noise before it leads to; noise outside the range, none.
TEST(NoiseOfSamplers, ChurnComesBeforeTheCall) {
  constexpr int kSteps = 10;
  constexpr double kLeast = 0.1, kMost = 20;
  for (const char* sampler : {"euler", "heun", "kdpm2", "edm-heun"}) {
    const int calls = sampler == std::string("euler") ? 1 : 2;
    const ReverseTable plain = table_of(sampler, {.steps = kSteps});
    EXPECT_EQ(plain.draws, 0) << sampler;
    for (const bool bounded : {false, true})
      for (const double churn : {2.0, 100.0}) {
        std::vector<std::string> set = {"s_churn=" + std::to_string(churn), "s_noise=1.5"};
        if (bounded) set.insert(set.end(), {"s_tmin=0.1", "s_tmax=20"});
        const ReverseTable table = table_of(sampler, {.steps = kSteps, .set = set});
        const double growth = std::min(churn / kSteps, std::sqrt(2.0) - 1);
        ASSERT_EQ(table.rows.size(), plain.rows.size());
        EXPECT_EQ(table.draws, kSteps) << sampler << ": a draw a step";
        int outside = 0;
        for (int i = 0; i < kSteps; ++i) {
          const size_t first = static_cast<size_t>(calls) * i;
          const double s = plain.rows[first].sigma;
          const bool acts = !bounded || (s >= kLeast && s <= kMost);
          outside += !acts;
          EXPECT_NEAR(table.rows[first].sigma / s, acts ? 1 + growth : 1, 1e-6) << sampler << " step " << i;
          const double drawn = i == 0 ? table.opening_noise : noise_of(table.rows[first - 1]);
          EXPECT_NEAR(drawn / s, acts ? 1.5 * std::sqrt(growth * (2 + growth)) : 0, 1e-6) << sampler << " step " << i;
          if (acts && i > 0) {
            EXPECT_EQ(table.rows[first - 1].draw, i) << sampler;
          }
        }
        EXPECT_EQ(outside > 0, bounded) << sampler;
        EXPECT_NEAR(table.start_scale, std::hypot(plain.start_scale, table.opening_noise), 1e-12) << sampler;
      }
  }
}

// Down and up make the next level; without noise the rules are the deterministic ones.
TEST(NoiseOfSamplers, AncestralPairs) {
  const std::vector<Row> middle = table_of("kdpm2", {.steps = 10}).rows;
  const std::vector<Row> quiet = table_of("kdpm2-ancestral", {.steps = 10, .set = {"eta=0"}}).rows;
  ASSERT_EQ(quiet.size(), middle.size());
  for (size_t i = 0; i < quiet.size(); ++i) {
    EXPECT_EQ(quiet[i].timestep, middle[i].timestep) << i;
    EXPECT_EQ(quiet[i].weight[0][kEps], middle[i].weight[0][kEps]) << i;
    EXPECT_EQ(quiet[i].draw, -1) << i;
  }
  // x0 estimates of 0: the state shrinks with the level, y' = s_down / s y, and the noise fills it up.
  for (const char* sampler : {"dpm++2s-ancestral", "dpm++sde"})
    for (const char* eta : {"eta=0", "eta=0.5", "eta=1"}) {
      const std::vector<Row> rows = table_of(sampler, {.steps = 10, .set = {eta}}).rows;
      ASSERT_EQ(rows.size(), 19u);
      for (size_t i = 0; i + 2 < rows.size(); i += 2) {
        const double s = rows[i].sigma, next = rows[i + 2].sigma;
        // Of dpm++sde's noise the part that the first stage drew is in its second register.
        const double down = rows[i + 1].weight[0][kRegister0] * s;
        const double up = std::hypot(noise_of(rows[i + 1]), rows[i + 1].weight[0][kRegister0 + 1]);
        EXPECT_NEAR(std::hypot(down, up) / next, 1, 1e-6) << sampler << " " << eta << " row " << i;
        EXPECT_NEAR(rows[i + 1].weight[0][kRegister0] + rows[i + 1].weight[0][kX0], 1, 1e-6);
      }
      EXPECT_EQ(rows.back().weight[0][kX0], 1) << "clean data is the estimate";
    }
}

}  // namespace
}  // namespace ito::test
