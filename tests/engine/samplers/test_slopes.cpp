// SPDX-License-Identifier: Apache-2.0
// Orders of accuracy: each solver's rows in double on levels geometric in s from 20 to 0.05, with the exact denoiser of
// a mixture of two normal densities in the network's place, against the flow itself. The slope of the error from 128
// steps to 256 must be that of an independent program's measurements, within 0.2.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <sstream>

#include "engine/diffusion/gaussian_mixture.h"
#include "tests/engine/samplers/sampler_on_levels.h"

namespace ito {
extern const Sampler kMidpoint;  // the exercise of docs/reading.md
}  // namespace ito

namespace ito::test {
namespace {

constexpr double kFrom = 20, kTo = 0.05;
constexpr double kStarts[] = {-1.7, -0.8, -0.1, 0.4, 1.2};  // y at the first level, over s

struct Slope {
  const char *sampler, *set;  // set: options, with spaces between
  double listed;
  int steps = 128;  // and twice as many
  double rate = 1;  // of the equation dy/dlambda = rate (D(y) - y): 1 is the flow, 2 the reverse SDE without its noise
  const Sampler* planted = nullptr;  // one that the list of samplers does not have
};

// Lower orders at the end are switched off where runs of this length have them, which is UniPC alone. Blocks of three
// calls divide 126 steps: a shorter block at the end is of lower order. flow-heun has Heun's slope.
constexpr Slope kSlopes[] = {
    {"ddim", "", 1.02},
    {"euler", "", 1.02},
    {"euler-ancestral", "eta=0", 1.02},
    {"dpm++1s", "", 1.02},
    {"dpm++2m", "solver_order=1", 1.02},
    {"deis", "solver_order=1", 1.02},
    {"dpm++2m", "", 1.98},
    {"dpm++2m", "solver_type=heun", 1.98},
    {"dpm++2m", "solver_order=3", 2.11},
    {"dpm++3m", "published=true", 2.11},
    {"dpm++3m", "", 2.92},
    {"dpm++2m", "algorithm_type=dpmsolver solver_order=3", 2.13},
    {"dpm++2m", "algorithm_type=dpmsolver solver_order=3 published=false", 2.91},
    {"dpm++2s", "", 1.92},
    {"dpm++2s", "solver_type=heun", 1.92},
    {"dpm++2s-ancestral", "eta=0", 1.92},
    {"dpm++sde", "eta=0", 1.92},
    {"dpm++3s", "", 2.83, 126},
    {"dpm++2s", "solver_order=3", 2.83, 126},
    {"unipc", "solver_order=1 lower_order_final=false", 1.98},
    {"unipc", "solver_order=2 lower_order_final=false solver_type=bh1", 3.02},
    {"unipc", "solver_order=2 lower_order_final=false", 3.02},
    {"unipc", "solver_order=3 lower_order_final=false", 3.75},
    {"deis", "solver_order=2", 1.96},
    {"deis", "solver_order=3", 2.91},
    {"heun", "", 2.01},
    {"edm-heun", "", 2.01},
    {"kdpm2", "", 1.93},
    {"kdpm2-ancestral", "eta=0", 1.93},
    {"lms", "order=2", 1.95},
    {"lms", "order=3", 2.88},
    {"lms", "order=4", 3.67},
    {"flow-euler", "", 1.01},
    {"flow-midpoint", "", 1.96},
    {"flow-heun", "", 2.01},
    {"dpm++2m", "algorithm_type=sde-dpmsolver++ solver_order=1", 1.02, 128, 2},
    {"dpm++2m", "algorithm_type=sde-dpmsolver++", 2.05, 128, 2},
    {"dpm++2m-sde", "", 2.05, 128, 2},
    {"dpm++2m", "algorithm_type=sde-dpmsolver++ solver_order=3", 1.83, 128, 2},
    {"dpm++2m", "algorithm_type=sde-dpmsolver++ solver_order=3 published=false", 3.23, 128, 2},
};

const GaussianMixture& data() {
  static const GaussianMixture mixture({2, 3}, {-1, 0.8}, {0.04, 0.09});
  return mixture;
}

// Where the equation leads from each start, by Runge and Kutta's rule: 8000 steps of 7.5e-4 in lambda are off by some
// 1e-12.
std::vector<double> ends_of(double rate) {
  constexpr int kSteps = 8000;
  const double h = std::log(kFrom / kTo) / kSteps;
  const auto slope = [&](double y, double step) {
    const Level level = level_of_ratio(kFrom * std::pow(kTo / kFrom, step / kSteps));
    return rate * (data().expected_x0({level.alpha * y}, level.alpha, level.sigma)[0] - y);
  };
  std::vector<double> ends;
  for (const double start : kStarts) {
    double y = kFrom * start;
    for (int k = 0; k < kSteps; ++k) {
      const double a = slope(y, k), b = slope(y + h / 2 * a, k + 0.5), c = slope(y + h / 2 * b, k + 0.5),
                   d = slope(y + h * c, k + 1);
      y += h / 6 * (a + 2 * b + 2 * c + d);
    }
    ends.push_back(y);
  }
  return ends;
}

// A schedule whose timesteps are the n + 1 levels: the walk to timestep t - 1, which ddim makes, is one step then, and
// so is deis' to the first timestep.
SchedulerConfig geometric_schedule(int n) {
  SchedulerConfig config;
  config.num_train_timesteps = n + 1;
  config.set_alpha_to_one = false;
  config.clip_sample = false;
  std::vector<double> betas;
  double before = 1;
  for (int t = 0; t <= n; ++t) {
    const double abar = level_of_ratio(kTo * std::pow(kFrom / kTo, static_cast<double>(t) / n)).abar;
    betas.push_back(1 - abar / before);
    before = abar;
  }
  config.trained_betas = betas;
  return config;
}

// What a state is of y = x0 + s eps, in the space that the table says its first level in.
double share_of_y(const ReverseTable& table, const Level& first, const Level& level) {
  const double alpha = table.exact[0].alpha;
  if (alpha == 1) return 1;
  return std::fabs(alpha - first.alpha) < 1e-12 ? level.alpha : 1 / (1 + level.s());
}

// The root mean square over the starts, of y at the end.
double error_at(const Slope& slope, int n, const std::vector<double>& ends) {
  const SchedulerConfig config = geometric_schedule(n);
  const Levels levels{NoiseSchedule(config)};
  std::vector<Level> nodes;
  for (int t = n; t >= 0; --t) nodes.push_back(levels.at(t));
  std::vector<std::string> set;
  std::istringstream words(slope.set);
  for (std::string word; words >> word;) set.push_back(word);
  const SamplingProblem problem = problem_on(nodes, slope.planted ? *slope.planted : sampler_named(slope.sampler), set,
                                             Reading(Quantity::epsilon(), NetworkTime::LogSigmaQuarter), config);
  const ReverseTable table = problem.sampler.table(problem);
  ref::RowRun run;
  for (const double start : kStarts) run.x.push_back(kFrom * start * share_of_y(table, nodes[0], nodes[0]));
  run.registers.assign(table.registers, std::vector<double>(run.x.size(), 0.0));
  const auto network = [&](double x, double t) {
    const Level level = level_of_ratio(std::exp(4 * t));
    return data().expected_eps({x}, level.alpha, level.sigma)[0];
  };
  ref::run_rows(table.exact, table.first_input_scale, run, network, [](size_t, int) { return 0.0; });
  double squares = 0;
  for (size_t i = 0; i < ends.size(); ++i)
    squares += std::pow(run.x[i] / share_of_y(table, nodes[0], nodes.back()) - ends[i], 2);
  return std::sqrt(squares / static_cast<double>(ends.size()));
}

TEST(Slopes, AreThoseListed) {
  std::map<double, std::vector<double>> ends;
  for (const Slope& slope : kSlopes) {
    if (!ends.contains(slope.rate)) ends[slope.rate] = ends_of(slope.rate);
    const double coarse = error_at(slope, slope.steps, ends[slope.rate]);
    const double fine = error_at(slope, 2 * slope.steps, ends[slope.rate]);
    EXPECT_NEAR(measured_order(coarse, fine), slope.listed, 0.2)
        << slope.sampler << " " << slope.set << ": " << coarse << " and " << fine;
    RecordProperty(join_text(slope.sampler, " ", slope.set), join_text(measured_order(coarse, fine), ", ", fine));
  }
}

TEST(Slopes, OfTheExerciseIsTwo) {
  const Slope slope{"midpoint", "", 2, 128, 1, &kMidpoint};
  const std::vector<double> ends = ends_of(1);
  EXPECT_NEAR(measured_order(error_at(slope, 128, ends), error_at(slope, 256, ends)), slope.listed, 0.2);
}

}  // namespace
}  // namespace ito::test
