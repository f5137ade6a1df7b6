// SPDX-License-Identifier: Apache-2.0
// What each sampler's table says, row by row: against the formulas, against the other samplers, and on a process whose
// end is known.
#include "engine/samplers/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "tests/engine/user_error.h"
#include "tests/ref/reverse_row.h"

namespace ito::test {
namespace {

using Row = ReverseRow;

constexpr float kEpsilon = std::numeric_limits<float>::epsilon();

std::vector<Row> rows_of(const char* sampler, const SchedulerConfig& config, const SamplingSettings& settings) {
  return sampling_table(sampler_named(sampler), NoiseSchedule(config), settings).rows;
}

// The new state of one element; v: the network's variance output.
double state_after(const Row& row, double x, double pred, double z, double v = 0) {
  ref::RowInput in;
  in.x = x, in.pred = pred, in.z = z, in.v = v;
  return ref::reverse_element(row, in).to[0];
}
double noise_of(const Row& row) {
  return row.draw >= 0 ? state_after(row, 0, 0, 1) : 0;
}

// Without clipping both samplers are linear in (x, pred, z), so their rows can be compared as three numbers a step.
// Each is a sum of products of floats: the bound is a few roundings of the terms' magnitudes.
TEST(Samplers, DdimWithEtaOneOnTheFullGridIsDdpm) {
  for (const Quantity prediction : Quantity::all()) {
    SchedulerConfig config;
    config.prediction_type = prediction;
    const SamplingSettings settings{.steps = 1000, .clip_sample = false};
    const std::vector<Row> ddpm = rows_of("ddpm", config, settings);
    const std::vector<Row> ddim = rows_of("ddim", config, {.steps = 1000, .clip_sample = false, .set = {"eta=1"}});
    for (size_t i = 0; i < ddpm.size(); ++i) {
      const Row &a = ddpm[i], &b = ddim[i];
      ASSERT_EQ(a.timestep, b.timestep);
      ASSERT_EQ(a.clip, 0);
      ref::RowInput only_x, only_pred;
      only_x.x = 1, only_pred.pred = 1;
      const ref::RowOutput ax = ref::reverse_element(a, only_x), bx = ref::reverse_element(b, only_x);
      const ref::RowOutput ap = ref::reverse_element(a, only_pred), bp = ref::reverse_element(b, only_pred);
      const auto bound = [](const ref::RowOutput& p, const ref::RowOutput& q) {
        return 2 * kEpsilon * (p.magnitude[0] + q.magnitude[0]);
      };
      ASSERT_NEAR(ax.to[0], bx.to[0], bound(ax, bx)) << name_of(prediction) << " step " << i;
      ASSERT_NEAR(ap.to[0], bp.to[0], bound(ap, bp)) << name_of(prediction) << " step " << i;
      ASSERT_NEAR(noise_of(a), noise_of(b), 2 * kEpsilon * noise_of(a)) << name_of(prediction) << " step " << i;
      ASSERT_EQ(a.draw, b.draw) << name_of(prediction) << " step " << i;
    }
  }
}

TEST(Samplers, DdpmStepsToTheNextTimestepOfTheGrid) {
  SchedulerConfig config;
  config.timestep_spacing = TimestepSpacing::Trailing;
  const NoiseSchedule schedule(config);
  const std::vector<Row> rows = rows_of("ddpm", config, {.steps = 7});
  const std::vector<int> grid = spaced_timesteps(TimestepSpacing::Trailing, 1000, 7, 0);
  ASSERT_EQ(rows.size(), grid.size());
  for (size_t i = 0; i < grid.size(); ++i) {
    const Step to = i + 1 < grid.size() ? Step::from_timestep(grid[i + 1]) : Step::clean();
    const Posterior expected = gaussian_posterior(schedule.abar(Step::from_timestep(grid[i])), schedule.abar(to));
    EXPECT_EQ(rows[i].timestep, grid[i]);
    EXPECT_EQ(rows[i].weight[0][kX0], static_cast<float>(expected.from_x0));
    EXPECT_EQ(rows[i].weight[0][kX], static_cast<float>(expected.from_x));
    EXPECT_EQ(rows[i].weight[0][kEps], 0);
    EXPECT_EQ(rows[i].weight[0][kNoise], static_cast<float>(std::sqrt(std::max(expected.variance, 1e-20))));
    EXPECT_EQ(rows[i].draw, static_cast<int>(i));
  }
}

TEST(Samplers, DdimStepsByWholeStrides) {
  SchedulerConfig config;
  config.timestep_spacing = TimestepSpacing::Trailing;  // 999, 856, ..., 285, 142; floor(1000 / 7) = 142
  const NoiseSchedule schedule(config);
  const std::vector<Row> rows = rows_of("ddim", config, {.steps = 7});
  const auto root_abar = [&](int timestep) {
    return static_cast<float>(std::sqrt(schedule.abar(Step::from_timestep(timestep))));
  };
  EXPECT_EQ(rows[0].weight[0][kX0], root_abar(857));
  EXPECT_EQ(rows[5].weight[0][kX0], root_abar(143));
  EXPECT_EQ(rows[6].weight[0][kX0], root_abar(0));
}

TEST(Samplers, VarianceTypes) {
  const auto rows = [](VarianceType type) {
    SchedulerConfig config;
    config.variance_type = type;
    return rows_of("ddpm", config, {.steps = 1000});
  };
  const std::vector<Row> small = rows(VarianceType::FixedSmall), large = rows(VarianceType::FixedLarge),
                         small_log = rows(VarianceType::FixedSmallLog), large_log = rows(VarianceType::FixedLargeLog),
                         learned = rows(VarianceType::LearnedRange);
  const NoiseSchedule schedule{SchedulerConfig{}};
  for (size_t i = 0; i < small.size(); ++i) {
    const Step step = Step::from_timestep(static_cast<int>(small[i].timestep));
    if (step.timestep() == 0) {
      for (const auto* table : {&small, &large, &small_log, &large_log, &learned}) EXPECT_EQ((*table)[i].draw, -1);
      continue;
    }
    // beta here is 1 - abar_t / abar_{t-1}, which rounds at 1e-16 / beta of itself: nothing beside a float's rounding.
    const float small_noise = small[i].weight[0][kNoise], large_noise = large[i].weight[0][kNoise];
    EXPECT_NEAR(small_noise, std::sqrt(schedule.posterior_variance(step)), kEpsilon * small_noise);
    EXPECT_NEAR(large_noise, std::sqrt(schedule.beta(step)), kEpsilon * large_noise);
    EXPECT_EQ(small_noise, small_log[i].weight[0][kNoise]);
    EXPECT_EQ(large_noise, large_log[i].weight[0][kNoise]);
    EXPECT_EQ(small[i].log_variance_high, 0);
    // v = -1 is the posterior's variance, v = 1 the forward step's, v = 0 their geometric mean. A logarithm of size 10
    // as a float is off by 5e-7, half of which is the relative error of the root.
    const auto std_at = [&](double v) { return state_after(learned[i], 0, 0, 1, v); };
    EXPECT_NEAR(std_at(-1) / small_noise, 1, 1e-6);
    EXPECT_NEAR(std_at(1) / large_noise, 1, 1e-6);
    EXPECT_NEAR(std_at(0) / std::sqrt(static_cast<double>(small_noise) * large_noise), 1, 1e-6);
  }
}

// A network with a learned variance under DDIM: sigma is DDIM's own, whatever the network says.
TEST(Samplers, DdimIgnoresTheLearnedVariance) {
  SchedulerConfig config;
  for (const char* eta : {"eta=0", "eta=0.7"}) {
    config.variance_type = VarianceType::FixedSmall;
    const std::vector<Row> plain = rows_of("ddim", config, {.steps = 20, .set = {eta}});
    config.variance_type = VarianceType::LearnedRange;
    const std::vector<Row> learned = rows_of("ddim", config, {.steps = 20, .set = {eta}});
    for (size_t i = 0; i < plain.size(); ++i) {
      EXPECT_EQ(learned[i].draw, plain[i].draw);
      for (const double v : {-1.0, 0.3, 1.0})
        EXPECT_NEAR(state_after(learned[i], 0, 0, 1, v), noise_of(plain[i]), 2e-6 * noise_of(plain[i]));
    }
  }
}

TEST(Samplers, EpsFromTheClippedEstimate) {
  const SchedulerConfig config;
  const Row own = rows_of("ddim", config, {.steps = 10})[3];
  const Row clipped = rows_of("ddim", config, {.steps = 10, .set = {"use_clipped_model_output=true"}})[3];
  const double x = 1.9, pred = -0.8;  // an x0 estimate far outside +-1
  const double abar = NoiseSchedule(config).abar(Step::from_timestep(600));
  const double eps = (x - std::sqrt(abar)) / std::sqrt(1 - abar);  // with x0 clipped to 1
  EXPECT_NEAR(state_after(clipped, x, pred, 0), clipped.weight[0][kX0] + clipped.weight[0][kEps] * eps, 8 * kEpsilon);
  EXPECT_NEAR(state_after(own, x, pred, 0), own.weight[0][kX0] + own.weight[0][kEps] * pred, 8 * kEpsilon);
}

// The slope follows from x0 once it is clipped: (y - x0) / s.
TEST(Samplers, HeunsSlopeFollowsTheClippedEstimate) {
  SchedulerConfig config;
  const Row clipped = rows_of("heun", config, {.steps = 10})[0];
  const Row free = rows_of("heun", config, {.steps = 10, .clip_sample = false})[0];
  ref::RowInput in;
  in.x = 300, in.pred = 0.5;
  const ref::RowOutput out = ref::reverse_element(clipped, in);
  EXPECT_EQ(out.x0, 1);
  EXPECT_NEAR(out.eps, (in.x - 1) / clipped.sigma, 1e-6 * out.eps);
  EXPECT_EQ(ref::reverse_element(free, in).eps, 0.5);
}

TEST(Samplers, CallsAStep) {
  const SchedulerConfig config;
  const auto calls = [&](const char* sampler, int steps) { return rows_of(sampler, config, {.steps = steps}).size(); };
  for (const char* sampler : {"ddpm", "ddim", "ddim-inverse", "euler", "euler-ancestral", "lms", "ipndm", "deis",
                              "dpm++2m", "dpm++1s", "dpm++2s", "dpm++3s"})
    EXPECT_EQ(calls(sampler, 12), 12u) << sampler;
  for (const char* sampler : {"heun", "edm-heun", "kdpm2", "kdpm2-ancestral", "dpm++2s-ancestral", "dpm++sde"})
    EXPECT_EQ(calls(sampler, 12), 23u) << sampler;
  EXPECT_EQ(calls("pndm", 12), 21u);
  EXPECT_EQ(calls("ddpm", 0), 1000u);
  EXPECT_EQ(calls("ddim", 0), 50u);
  SchedulerConfig few;
  few.num_train_timesteps = 20;
  EXPECT_EQ(rows_of("ddim", few, {}).size(), 20u) << "no more than the schedule has";
}

TEST(Samplers, ARunInSigmaSpaceStartsWhereDiffusersStartsIt) {
  SchedulerConfig config;
  const auto start = [&](TimestepSpacing spacing) {
    config.timestep_spacing = spacing;
    return sampling_table(sampler_named("heun"), NoiseSchedule(config), {.steps = 10}).start_scale;
  };
  const Levels levels{NoiseSchedule(config)};
  EXPECT_DOUBLE_EQ(start(TimestepSpacing::Linspace), levels.at(999).s());
  EXPECT_DOUBLE_EQ(start(TimestepSpacing::Leading), std::sqrt(1 + std::pow(levels.at(900).s(), 2)));
}

// Data N(0, v): the best eps network is known, and so is where the flow takes x from one level to another. Down to the
// first timestep (the step from there to clean data is of first order everywhere, and left out), twice the steps must
// leave a quarter of the error of a second-order rule and half of DDIM's, which is of first order.
TEST(Samplers, OrderOfConvergence) {
  const SchedulerConfig config;
  const Levels levels{NoiseSchedule(config)};
  constexpr double kVariance = 0.3;
  const auto spread = [&](const Level& l) { return std::sqrt(l.alpha * l.alpha * kVariance + l.sigma * l.sigma); };
  const auto error = [&](const char* sampler, int steps, SamplingSettings settings, bool ends_clean) {
    settings.steps = steps;
    settings.clip_sample = false;
    ReverseTable table = sampling_table(sampler_named(sampler), NoiseSchedule(config), settings);
    if (ends_clean) table.rows.pop_back();
    ref::RowRun run{.x = {table.start_scale}, .registers = {}};
    run.registers.assign(table.registers, {0.0});
    const auto network = [&](double x, double t) {
      const Level l = levels.at(t);
      return l.sigma * x / (spread(l) * spread(l));
    };
    ref::run_rows(table.rows, table.first_input_scale, run, network, [](size_t, int) { return 0.0; });
    const Level begin = levels.at(table.rows[0].timestep), end = levels.at(0);
    const bool sigma_space = table.first_input_scale != 1;
    const double start = sigma_space ? begin.alpha * table.start_scale : 1;
    const double reached = sigma_space ? end.alpha * run.x[0] : run.x[0];
    return std::fabs(reached - start * spread(end) / spread(begin));
  };
  const SamplingSettings linspace{.timestep_spacing = TimestepSpacing::Linspace};
  const auto gain_of = [&](const char* sampler, int steps, const SamplingSettings& settings, bool ends_clean) {
    return error(sampler, steps, settings, ends_clean) / error(sampler, 2 * steps, settings, ends_clean);
  };
  const auto expect_second = [&](const char* sampler, int steps, const SamplingSettings& settings, bool ends_clean) {
    const double gain = gain_of(sampler, steps, settings, ends_clean);
    EXPECT_GT(gain, 3.3) << sampler;
    EXPECT_LT(gain, 5) << sampler << ": an error that changes its sign on the way says nothing of the order";
  };
  for (const char* sampler : {"heun", "kdpm2", "edm-heun"}) expect_second(sampler, 25, linspace, true);
  const auto with = [&](std::vector<std::string> set) {
    SamplingSettings settings = linspace;
    settings.set = std::move(set);
    return settings;
  };
  expect_second("lms", 50, with({"order=2"}), true);
  for (const char* sampler : {"kdpm2-ancestral", "dpm++2s-ancestral", "dpm++sde"})
    expect_second(sampler, 25, with({"eta=0"}), true);
  // Twice the steps leave an eighth of the third order's error; more of it in the first steps, of lower order.
  const double third = gain_of("lms", 100, with({"order=3"}), true);
  EXPECT_GT(third, 6.5);
  EXPECT_LT(third, 10);
  const double euler = gain_of("euler", 50, linspace, true);
  EXPECT_GT(euler, 1.8);
  EXPECT_LT(euler, 2.2);
  const double ddim = gain_of("ddim", 20, {}, true);
  EXPECT_GT(ddim, 1.5);
  EXPECT_LT(ddim, 3) << "the measure finds second order everywhere";
}

// A short run ends in a step of first order, which reads no register; euler_at_final asks for it in a long one.
TEST(Samplers, OrderAtTheEndOfDpmSolver) {
  const SchedulerConfig config;
  const auto last = [&](int steps, std::vector<std::string> set) {
    set.emplace_back("final_sigmas_type=sigma_min");
    return rows_of("dpm++2m", config, {.steps = steps, .set = set}).back().reads;
  };
  EXPECT_EQ(last(14, {}), 0u);
  EXPECT_EQ(last(15, {}), 1u);
  EXPECT_EQ(last(14, {"lower_order_final=false"}), 1u);
  EXPECT_EQ(last(15, {"euler_at_final=true"}), 0u);
  // To clean data the answer is the estimate, whatever the options.
  const Row clean = rows_of("dpm++2m", config, {.steps = 20}).back();
  EXPECT_EQ(clean.writes, 1);
  EXPECT_EQ(clean.weight[0][kX0], 1);
  EXPECT_EQ(clean.weight[0][kX], 0);
}

// Of multistep rules: the state over `divisor` grows by the integral of the estimate, read off the network, dV.
struct MultistepRule {
  const char *sampler, *option;  // without the order
  int order;
  const char* predicts;                   // what the rule integrates
  double (*argument)(double lambda);      // in which the rule takes the estimate for a polynomial
  double (*divisor)(const Level& level);  // of the state
  double (*density)(double lambda);       // dV / dlambda
};

// What a multistep rule of order p is made for: estimates that are a polynomial of degree below p are integrated
// exactly once there are p of them. The integral is Simpson's, of 2000 intervals.
TEST(Samplers, MultistepRulesIntegrateTheirPolynomials) {
  const auto tenth_of_s = [](double lambda) { return std::exp(-lambda) / 10; };
  const auto itself = [](double lambda) { return lambda; };
  const auto one = [](const Level&) { return 1.0; };
  const auto alpha = [](const Level& l) { return l.alpha; };
  const auto sigma = [](const Level& l) { return l.sigma; };
  const auto sde = [](const Level& l) { return l.sigma * l.s(); };
  const auto of_s = [](double lambda) { return -std::exp(-lambda); };          // V = s
  const auto of_snr_root = [](double lambda) { return std::exp(lambda); };     // V = 1 / s
  const auto of_snr = [](double lambda) { return 2 * std::exp(2 * lambda); };  // V = 1 / s^2
  std::vector<MultistepRule> rules;
  for (int order = 1; order <= 4; ++order) rules.push_back({"lms", "order=", order, "epsilon", tenth_of_s, one, of_s});
  for (int order = 1; order <= 3; ++order)
    rules.push_back({"deis", "solver_order=", order, "epsilon", itself, alpha, of_s});
  rules.push_back({"dpm++2m", "solver_type=heun solver_order=", 2, "sample", itself, sigma, of_snr_root});
  rules.push_back({"dpm++3m", "", 3, "sample", itself, sigma, of_snr_root});
  rules.push_back({"dpm++2m", "final_sigmas_type=sigma_min algorithm_type=dpmsolver solver_type=heun solver_order=", 2,
                   "epsilon", itself, alpha, of_s});
  rules.push_back(
      {"dpm++2m", "algorithm_type=sde-dpmsolver++ solver_type=heun solver_order=", 2, "sample", itself, sde, of_snr});
  rules.push_back(
      {"dpm++2m", "algorithm_type=sde-dpmsolver++ published=false solver_order=", 3, "sample", itself, sde, of_snr});
  rules.push_back({"dpm++2m", "final_sigmas_type=sigma_min algorithm_type=dpmsolver published=false solver_order=", 3,
                   "epsilon", itself, alpha, of_s});
  for (const MultistepRule& rule : rules) {
    SchedulerConfig config;
    config.prediction_type = quantity_of(rule.predicts, "");
    const Levels levels{NoiseSchedule(config)};
    std::istringstream words(rule.option);
    SamplingSettings settings{.steps = 20, .timestep_spacing = TimestepSpacing::Linspace};
    for (std::string word; words >> word;)
      settings.set.push_back(word.ends_with("=") ? word + std::to_string(rule.order) : word);
    const ReverseTable table = sampling_table(sampler_named(rule.sampler), NoiseSchedule(config), settings);
    const auto level = [&](size_t row) { return levels.at(table.rows[row].timestep); };
    for (int degree = 0; degree < rule.order; ++degree) {
      const auto estimate = [&](double lambda) { return std::pow(rule.argument(lambda), degree); };
      const auto state_before = [&](size_t row) {
        ref::RowRun run{.x = {0.0}, .registers = {}};
        run.registers.assign(table.registers, {0.0});
        const std::vector<Row> rows(table.rows.begin(), table.rows.begin() + static_cast<std::ptrdiff_t>(row));
        ref::run_rows(
            rows, table.first_input_scale, run, [&](double, double t) { return estimate(levels.at(t).lambda()); },
            [](size_t, int) { return 0.0; });
        return run.x[0] / rule.divisor(level(row));
      };
      for (size_t i = static_cast<size_t>(rule.order) - 1; i + 1 < table.rows.size(); ++i) {
        const double from = level(i).lambda(), to = level(i + 1).lambda();
        constexpr int kIntervals = 2000;
        double integral = 0, size = 0;
        for (int k = 0; k <= kIntervals; ++k) {
          const double lambda = from + (to - from) * k / kIntervals;
          const double weight = (k == 0 || k == kIntervals ? 1 : k % 2 ? 4 : 2) * (to - from) / (3 * kIntervals);
          integral += weight * estimate(lambda) * rule.density(lambda);
          size += std::fabs(weight * estimate(lambda) * rule.density(lambda));
        }
        // Weights are floats, of both signs and up to some ten times the step.
        const double reached = std::max(std::fabs(state_before(i)), std::fabs(state_before(i + 1)));
        EXPECT_NEAR(state_before(i + 1) - state_before(i), integral, 1e-5 * size + 4 * kEpsilon * reached)
            << rule.sampler << " " << rule.option << rule.order << ", degree " << degree << ", step " << i;
      }
    }
  }
}

// eta 0 is euler, bit for bit; eta 1 keeps the process: variance grows by what s_up adds and falls by s_down.
TEST(Samplers, AncestralNoiseFillsTheLevelUp) {
  const SchedulerConfig config;
  const std::vector<Row> euler = rows_of("euler", config, {.steps = 10});
  const std::vector<Row> quiet = rows_of("euler-ancestral", config, {.steps = 10, .set = {"eta=0"}});
  for (size_t i = 0; i < euler.size(); ++i) EXPECT_EQ(quiet[i].weight[0][kEps], euler[i].weight[0][kEps]) << i;
  const Levels levels{NoiseSchedule(config)};
  const std::vector<Row> noisy = rows_of("euler-ancestral", config, {.steps = 10});
  for (size_t i = 0; i + 1 < noisy.size(); ++i) {
    const double s = levels.at(noisy[i].timestep).s(), next = levels.at(noisy[i + 1].timestep).s();
    const double down = s + noisy[i].weight[0][kEps], up = noisy[i].weight[0][kNoise];
    EXPECT_NEAR(down * down + up * up, next * next, 1e-6 * s * s) << i;
    EXPECT_NEAR(up * up, next * next * (1 - next * next / (s * s)), 1e-6 * s * s) << i;
  }
  EXPECT_EQ(noisy.back().weight[0][kNoise], 0);
}

// Every number of steps that a schedule allows makes a table of finite numbers (the builder refuses others), under
// every spacing, with Karras' levels and without.
TEST(Samplers, EveryCountMakesATable) {
  SchedulerConfig config;
  config.num_train_timesteps = 100;
  for (const Sampler* sampler : samplers())
    for (const char* spacing : {"leading", "linspace", "trailing"}) {
      if (sampler->adaptive) continue;  // it has no table
      for (const bool zero_snr : {false, true})
        for (int steps = 1; steps <= 100; ++steps) {
          config.rescale_betas_zero_snr = zero_snr;
          config.prediction_type = quantity_of("v_prediction", "");
          SamplingSettings settings{.steps = steps, .timestep_spacing = timestep_spacing_of(spacing, "")};
          const auto make = [&] {
            try {
              sampling_table(*sampler, NoiseSchedule(config), settings);
            } catch (const UserError& e) {  // a discrete process of few levels has none of their betas below 1
              const bool too_few = std::string(e.what()).find("steps are too few") != std::string::npos;
              if (sampler->grid != GridKind::Continuous || !too_few) throw;
            }
          };
          ASSERT_NO_THROW(make()) << sampler->name << " " << spacing << " " << steps;
          for (const SamplerOption& option : sampler->options)
            if (option.key == std::string_view("use_karras_sigmas")) {
              settings.set = {"use_karras_sigmas=true"};
              ASSERT_NO_THROW(make()) << sampler->name << " karras " << spacing << " " << steps;
            }
        }
    }
}

}  // namespace
}  // namespace ito::test
