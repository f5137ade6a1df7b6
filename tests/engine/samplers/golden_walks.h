// SPDX-License-Identifier: Apache-2.0
// Published runs on levels of their own, and with networks that are told their level in another way than a schedule's
// timesteps: Karras et al.'s, the continuous schedule of DPM-Solver's authors, and iPNDM's. A sampler's rows are made
// for those levels directly.
#pragma once
#include <numbers>

#include "engine/samplers/dpm_singlestep.h"
#include "tests/engine/samplers/golden_runs.h"
#include "tests/engine/samplers/sampler_on_levels.h"

namespace ito::test {

inline double network_h(double x, double t) {
  return 0.8 * std::sin(x + 3 * t);
}

inline std::vector<Level> karras_walk(double high, double low, int count) {
  std::vector<Level> nodes;
  for (const double s : karras_sigmas(high, low, count)) nodes.push_back(level_of_ratio(s));
  nodes.push_back({.time = -1, .alpha = 1, .sigma = 0, .abar = 1});
  return nodes;
}

// The schedule of Song et al. 2021 in continuous time, beta from 0.1 to 20: ln alpha = -(t^2 19.9 / 4 + t 0.1 / 2).
inline Level continuous_level(double t) {
  const double log_alpha = -t * t * 19.9 / 4 - t * 0.1 / 2;
  return {.time = t,
          .alpha = std::exp(log_alpha),
          .sigma = std::sqrt(-std::expm1(2 * log_alpha)),
          .abar = std::exp(2 * log_alpha)};
}
// The time at which it has this lambda: ln alpha = -1/2 ln(1 + e^(-2 lambda)), a quadratic in t.
inline Level continuous_level_of(double lambda) {
  const double log_alpha = -0.5 * std::log1p(std::exp(-2 * lambda)), a = 19.9 / 4, b = 0.1 / 2;
  return continuous_level(-2 * log_alpha / (b + std::sqrt(b * b - 4 * a * log_alpha)));
}
// `count` steps of equal length in lambda, or in t, from 1 to 1e-3.
inline std::vector<Level> even_walk(int count, bool in_lambda) {
  const double from = continuous_level(1).lambda(), to = continuous_level(1e-3).lambda();
  std::vector<Level> nodes;
  for (int i = 0; i <= count; ++i)
    nodes.push_back(in_lambda ? continuous_level_of(from + (to - from) * i / count)
                              : continuous_level(1 + (1e-3 - 1) * i / count));
  return nodes;
}

// iPNDM's levels, with the time its networks are told.
inline std::vector<Level> sine_squared_walk(int count) {
  std::vector<Level> nodes;
  for (int i = 0; i <= count; ++i) {
    const double sigma = std::pow(std::sin(std::numbers::pi / 2 * (count - i) / count), 2);
    const double alpha = std::sqrt(1 - sigma * sigma);
    nodes.push_back({.time = std::atan2(sigma, alpha) * 2 / std::numbers::pi,
                     .alpha = alpha,
                     .sigma = sigma,
                     .abar = alpha * alpha});
  }
  return nodes;
}

inline std::vector<GoldenRun> golden_walks() {
  const auto plain = [](SchedulerConfig&) {};
  // Linspace starts at s_max z, leading at sqrt(s_max^2 + 1) z.
  const auto on = [](std::vector<Level> nodes, Reading reading, TimestepSpacing spacing = TimestepSpacing::Linspace) {
    return [=](const GoldenRun& run) {
      SchedulerConfig config;
      config.timestep_spacing = spacing;
      return sampler_named(run.sampler).table(problem_on(nodes, run.sampler, run.set, reading, config));
    };
  };
  SchedulerConfig edm;
  edm.family = Family::Edm;
  const Reading denoiser = Reading::of(edm), eps(Quantity::epsilon());
  const std::vector<Level> s40 = karras_walk(40, 0.02, 9), s80 = karras_walk(80, 0.002, 10);
  const auto nine = on(s40, denoiser), ten = on(s80, denoiser, TimestepSpacing::Leading);
  const auto even = on(even_walk(12, false), eps), even_lambda = on(even_walk(12, true), eps);
  const double alpha40 = s40[0].alpha, start80 = std::sqrt(80.0 * 80 + 1);
  // The authors' singlestep solver has levels of its own inside its blocks, a third and two thirds of the way.
  const auto singlestep = [=](const GoldenRun& run) {
    std::vector<Level> nodes;
    const std::vector<Level> blocks = even_walk(5, true);
    for (size_t k = 0; k < 5; ++k) {
      const double from = blocks[k].lambda(), to = blocks[k + 1].lambda();
      nodes.push_back(blocks[k]);
      if (k == 4) break;
      for (int third = 1; third < 3; ++third) nodes.push_back(continuous_level_of(from + (to - from) * third / 3));
    }
    nodes.push_back(blocks.back());
    const SchedulerConfig config;
    return dpm_singlestep_table(
        problem_on(nodes, run.sampler, run.set, eps, config),
        {.solver = {.order = 3, .midpoint = false}, .orders = {1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1}});
  };
  const auto &c = network_c, &h = network_h;
  const std::vector<std::string> third_sde = {"algorithm_type=sde-dpmsolver++", "solver_order=3", "solver_type=heun",
                                              "lower_order_final=false"};
  const std::vector<std::string> taylor = {"solver_order=3", "solver_type=heun", "lower_order_final=false"};
  const std::vector<std::string> exact = {"solver_order=3", "solver_type=heun", "lower_order_final=false",
                                          "published=false"};
  const std::vector<std::string> full = {"lower_order_final=false"};
  return {
      {.name = "ipndm",
       .sampler = "ipndm",
       .configure = plain,
       .steps = 10,
       .set = {},
       .network = network_c,
       .noise = false,
       .sum = 73.8216105,
       .after = {374.11509, 204.01422, 185.72297},
       .walk = on(sine_squared_walk(10), Reading(quantity_of("v_prediction", "")))},
      {.name = "edm dpm++2m",
       .sampler = "dpm++2m",
       .configure = plain,
       .steps = 10,
       .set = {},
       .network = c,
       .noise = false,
       .sum = 518.985573,
       .after = {16400.074, 8295.7581, 3957.2166},
       .walk = ten,
       .start_scale = start80,
       .start_alpha = s80[0].alpha},
      {.name = "sigma euler-ancestral",
       .sampler = "euler-ancestral",
       .configure = plain,
       .steps = 9,
       .set = {"eta=0.5", "s_noise=0.9"},
       .network = c,
       .noise = true,
       .sum = 387.840046,
       .after = {7746.4491, 3741.0259, 1734.8718},
       .walk = nine,
       .start_scale = 40},
      {.name = "sigma dpm++2m",
       .sampler = "dpm++2m",
       .configure = plain,
       .steps = 9,
       .set = full,
       .network = c,
       .noise = false,
       .sum = 498.581018,
       .after = {8499.6892, 4505.6783, 2292.601},
       .walk = nine,
       .start_scale = 40,
       .start_alpha = alpha40},
      {.name = "sigma dpm++2m-sde",
       .sampler = "dpm++2m-sde",
       .configure = plain,
       .steps = 9,
       .set = full,
       .network = c,
       .noise = true,
       .sum = 750.46703,
       .after = {4771.9896, 1374.7947, 371.93704},
       .walk = nine,
       .start_scale = 40,
       .start_alpha = alpha40},
      {.name = "sigma dpm++3m-sde",
       .sampler = "dpm++2m",
       .configure = plain,
       .steps = 9,
       .set = third_sde,
       .network = c,
       .noise = true,
       .sum = 948.06084,
       .after = {4771.9896, 1367.6504, 368.34879},
       .walk = nine,
       .start_scale = 40,
       .start_alpha = alpha40},
      {.name = "sigma kdpm2",
       .sampler = "kdpm2",
       .configure = plain,
       .steps = 9,
       .set = {},
       .network = c,
       .noise = false,
       .sum = 520.675474,
       .after = {8496.2618, 4502.6313, 2290.4981},
       .walk = nine,
       .rows_a_step = 2,
       .start_scale = 40},
      {.name = "sigma dpm++2s-ancestral",
       .sampler = "dpm++2s-ancestral",
       .configure = plain,
       .steps = 9,
       .set = {},
       .network = c,
       .noise = true,
       .sum = 591.695426,
       .after = {4764.0237, 1393.1619, 394.42599},
       .walk = nine,
       .rows_a_step = 2,
       .start_scale = 40},
      {.name = "sigma lms",
       .sampler = "lms",
       .configure = plain,
       .steps = 9,
       .set = {},
       .network = c,
       .noise = false,
       .sum = 434.903988,
       .after = {8499.6892, 4507.0857, 2294.7728},
       .walk = nine,
       .start_scale = 40},
      {.name = "sigma dpm++sde",
       .sampler = "dpm++sde",
       .configure = plain,
       .steps = 9,
       .set = {"one_path=false"},
       .network = c,
       .noise = true,
       .sum = 360.665318,
       .after = {4732.9006, 1349.9599, 384.49367},
       .walk = nine,
       .rows_a_step = 2,
       .start_scale = 40},
      {.name = "continuous dpm++2m",
       .sampler = "dpm++2m",
       .configure = plain,
       .steps = 12,
       .set = full,
       .network = h,
       .noise = false,
       .sum = 90372.6705,
       .after = {1104.3251, 2954.6516, 6135.7422},
       .walk = even_lambda},
      {.name = "continuous dpm++3m",
       .sampler = "dpm++2m",
       .configure = plain,
       .steps = 12,
       .set = taylor,
       .network = h,
       .noise = false,
       .sum = 84688.0881,
       .after = {1103.7324, 2730.6633, 4722.8215},
       .walk = even},
      {.name = "continuous dpm++3m exact",
       .sampler = "dpm++2m",
       .configure = plain,
       .steps = 12,
       .set = exact,
       .network = h,
       .noise = false,
       .sum = 84235.3919,
       .after = {1103.7324, 2730.6633, 4673.503},
       .walk = even},
      {.name = "continuous dpm++3s",
       .sampler = "dpm++3s",
       .configure = plain,
       .steps = 13,
       .set = {},
       .network = h,
       .noise = false,
       .sum = 88898.8297,
       .after = {3752.5734, 24421.793, 75676.197},
       .walk = singlestep,
       .rows_a_step = 3},
  };
}

}  // namespace ito::test
