// SPDX-License-Identifier: Apache-2.0
// Whole runs with known ends: an input and "networks" in closed form, and the sums that the published schedulers gave
// for them in double precision.
#pragma once
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "engine/samplers/sampler.h"

namespace ito::test {

inline constexpr int kGoldenImages = 4, kGoldenSize = 192;  // (3, 8, 8) numbers an image

// Number i (NCHW) is that of arange(768) / 768 laid out as (3, 8, 8, 4) and permuted to (4, 3, 8, 8).
inline std::vector<double> golden_input() {
  std::vector<double> x(kGoldenImages * kGoldenSize);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<double>(i % kGoldenSize * kGoldenImages + i / kGoldenSize) / static_cast<double>(x.size());
  return x;
}
// Draw k at number i, where a run has noise.
inline double golden_noise(size_t i, int k) {
  return std::sin(1.3 * static_cast<double>(i) + 0.7 * k);
}

inline double network_a(double x, double t) {
  return x * t / (t + 1);
}
// t is ln(s) / 4 of a preconditioned network.
inline double network_c(double x, double t) {
  return 0.8 * std::sin(x + 0.7 * t);
}
// A score at noise to signal s.
inline double network_s(double x, double s) {
  return -(x - 0.5 * std::tanh(x)) / (s * s + 0.25);
}
inline double network_b(double x, double t) {
  return x * t / (t + 1) + 0.02 * std::sin(3 * x + 0.05 * t);
}

struct GoldenRun {
  const char* name;
  const char* sampler;
  std::function<void(SchedulerConfig&)> configure;
  int steps;
  std::vector<std::string> set;
  std::function<double(double, double)> network;  // of the scaled input and the time
  bool noise;
  double sum;               // of |x| at the end
  double after[3];          // sums after network calls 1, 2, 3; 0: not given
  bool from_double = true;  // false: of a published run in fp32, or with digits missing
  // Of runs on levels of their own (golden_walks.h).
  std::function<ReverseTable(const GoldenRun&)> walk = nullptr;
  int rows_a_step = 1;     // `after` counts steps of this many network calls
  double start_scale = 0;  // of the input; 0: the table's
  double start_alpha = 0;  // not 0: the published state is y = x / alpha, the table's x; this is the first alpha
};

inline std::vector<GoldenRun> golden_runs() {
  const auto plain = [](SchedulerConfig&) {};
  const auto v_prediction = [](SchedulerConfig& config) { config.prediction_type = quantity_of("v_prediction", ""); };
  const auto cosine_large = [](SchedulerConfig& config) {
    config.beta_schedule = BetaSchedule::SquaredCosCapV2;
    config.variance_type = VarianceType::FixedLarge;
  };
  const auto offset = [](SchedulerConfig& config) {
    config.steps_offset = 1;
    config.clip_sample = false;
  };
  const auto zero_snr = [=](SchedulerConfig& config) {
    config.timestep_spacing = TimestepSpacing::Trailing;
    config.rescale_betas_zero_snr = true;
    v_prediction(config);
  };
  const auto final_abar = [](SchedulerConfig& config) {
    config.beta_start = 0.01;
    config.set_alpha_to_one = false;
  };
  const auto linspace = [](SchedulerConfig& config) {
    config.timestep_spacing = TimestepSpacing::Linspace;
    config.clip_sample = false;
  };
  const auto linspace_v = [=](SchedulerConfig& config) {
    linspace(config);
    v_prediction(config);
  };
  const auto inverse_v = [=](SchedulerConfig& config) {
    config.clip_sample = false;
    v_prediction(config);
  };
  const auto first_abar = [](SchedulerConfig& config) { config.set_alpha_to_one = false; };
  const auto leading_v = [=](SchedulerConfig& config) {
    offset(config);
    v_prediction(config);
  };
  const auto of_class = [](const char* name) {
    return [name](SchedulerConfig& config) {
      std::vector<std::string> warnings;
      config = read_scheduler_config({{"_class_name", name}, {"num_train_timesteps", 1000}}, name, warnings);
    };
  };
  const auto sde = [](Family family) {
    return [family](SchedulerConfig& config) {
      config.family = family;
      config.clip_sample = false;
    };
  };
  const auto ve = [](double sigma_min, double sigma_max) {
    return [=](SchedulerConfig& config) {
      config.family = Family::Ve;
      config.prediction_type = quantity_of("score", "");
      config.sigma_min = sigma_min, config.sigma_max = sigma_max;
    };
  };
  constexpr bool kFloat = false;
  const auto &a = network_a, &b = network_b, &c = network_c, &s = network_s;
  return {
      {"sde vp euler-maruyama",
       "euler-maruyama",
       sde(Family::VpSde),
       50,
       {},
       b,
       true,
       74.485711,
       {303.43272, 244.37494, 195.89403}},
      {"sde vp ancestral",
       "reverse-diffusion",
       sde(Family::VpSde),
       50,
       {"ancestral=true"},
       b,
       true,
       75.611541,
       {292.63375, 228.76078, 177.61569}},
      {"sde sub-vp euler-maruyama",
       "euler-maruyama",
       sde(Family::SubVp),
       50,
       {},
       b,
       true,
       15.604381,
       {303.42933, 244.3684, 195.88417}},
      {.name = "sde ve with langevin corrector",
       .sampler = "predictor-corrector",
       .configure = ve(0.01, 50),
       .steps = 20,
       .set = {"correct_steps=2", "sampling_eps=0.001"},
       .network = s,
       .noise = true,
       .sum = 355.604143,
       .after = {6803.4699, 2683.0156, 1038.5803},
       .rows_a_step = 3},
      {.name = "ncsn",
       .sampler = "langevin",
       .configure = ve(0.05, 10),
       .steps = 6,
       .set = {"inner_steps=5", "step_size=1e-4"},
       .network = s,
       .noise = true,
       .sum = 1766.6782,
       .after = {376.01931, 363.24649, 349.04861},
       .start_scale = 1},
      {"edm euler",
       "euler",
       of_class("EDMEulerScheduler"),
       10,
       {},
       c,
       false,
       395.122025,
       {16400.074, 8298.5208, 3962.38}},
      {.name = "edm-heun",
       .sampler = "edm-heun",
       .configure = of_class("EDMEulerScheduler"),
       .steps = 18,
       .set = {},
       .network = c,
       .noise = false,
       .sum = 516.897095,
       .after = {22162.334, 15776.292, 11056.755},
       .rows_a_step = 2},
      {.name = "edm-heun churn",
       .sampler = "edm-heun",
       .configure = of_class("EDMEulerScheduler"),
       .steps = 8,
       .set = {"s_churn=2"},
       .network = c,
       .noise = true,
       .sum = 864.658454,
       .after = {},
       .rows_a_step = 2},
      {"flow euler",
       "flow-euler",
       of_class("FlowMatchEulerDiscreteScheduler"),
       10,
       {},
       b,
       false,
       135.463536,
       {339.90447, 301.00428, 266.71193}},
      {"flow heun",
       "flow-heun",
       of_class("FlowMatchHeunDiscreteScheduler"),
       10,
       {},
       b,
       false,
       147.363388,
       {339.90447, 342.25214, 303.10135}},
      {"ddpm eps 1000", "ddpm", plain, 1000, {}, a, false, 0.66093886, {379.65322, 375.84885, 372.08637}, kFloat},
      {"ddpm v 1000", "ddpm", v_prediction, 1000, {}, a, false, 0.11322279, {}, kFloat},
      {"ddpm eps 25", "ddpm", plain, 25, {}, b, true, 106.952181, {265.48903, 184.5347, 132.82123}},
      {"ddpm large cosine", "ddpm", cosine_large, 10, {}, b, true, 138.506539, {178.30042, 114.48257, 78.380416}},
      {"ddim eps", "ddim", plain, 10, {}, a, false, 172.006522, {383.91307, 383.75491, 381.87658}},
      {"ddim v", "ddim", v_prediction, 10, {}, a, false, 52.5302, {}, kFloat},
      {"ddim offset 1", "ddim", offset, 10, {}, b, false, 175.970588, {376.32546, 383.05948, 389.16448}},
      {"ddim zero snr", "ddim", zero_snr, 8, {}, b, false, 39.0894638, {377.76932, 363.04134, 331.79133}},
      {"ddim eta 1", "ddim", plain, 10, {"eta=1"}, b, true, 218.841854, {153.43085, 73.005949, 31.58946}},
      {"ddim final abar", "ddim", final_abar, 10, {}, a, false, 149.07843, {384.15641, 384.82884, 385.50034}},
      {"ddim inverse", "ddim-inverse", plain, 10, {}, a, false, 671.682108, {383.48082, 482.19297, 561.12301}},
      {"ddim inverse v", "ddim-inverse", inverse_v, 10, {}, b, false, 1302.30444, {383.5827, 484.20675, 602.50704}},
      {"pndm", "pndm", first_abar, 10, {}, a, false, 198.131739, {383.69199, 383.59918, 383.81217}},
      {"pndm plms",
       "pndm",
       first_abar,
       10,
       {"skip_prk_steps=true"},
       b,
       false,
       199.764859,
       {375.76198, 388.98396, 399.95247}},
      {"dpm++2s",
       "dpm++2s",
       linspace,
       10,
       {"final_sigmas_type=sigma_min"},
       a,
       false,
       214.362032,
       {384.08541, 384.21816, 384.05012}},
      {"dpm++2s order 3",
       "dpm++2s",
       linspace,
       12,
       {"solver_order=3"},
       b,
       false,
       197.029412,
       {372.28385, 384.78812, 393.06142}},
      {"dpm++1s", "dpm++1s", linspace, 10, {}, b, false, 166.881111, {368.85073, 359.61523, 364.85404}},
      {"euler linspace", "euler", linspace, 10, {}, b, false, 159.631747, {19994.602, 7527.4853, 3271.3968}},
      {"euler leading v", "euler", leading_v, 10, {}, b, false, 57.6106249, {9730.6698, 4353.8359, 2078.894}},
      {"euler-ancestral", "euler-ancestral", linspace, 10, {}, b, true, 227.961339, {6020.7758, 1032.887, 304.33116}},
      {"kdpm2", "kdpm2", linspace, 10, {}, b, false, 216.214241, {34955.608, 22682.039, 14041.372}},
      {"lms", "lms", linspace, 10, {}, b, false, 182.771368, {19994.602, 7615.543, 3353.0003}},
      {"lms karras v",
       "lms",
       linspace_v,
       10,
       {"use_karras_sigmas=true"},
       b,
       false,
       62.7687058,
       {32692.292, 16625.788, 7768.1659}},
      {"deis", "deis", linspace, 10, {}, a, false, 183.67619, {384.08541, 384.21291, 384.01242}},
      {"deis order 3",
       "deis",
       linspace,
       12,
       {"solver_order=3"},
       b,
       false,
       187.259282,
       {372.28385, 383.84399, 381.68602}},
      {"heun linspace", "heun", linspace, 10, {}, b, false, 247.167221, {19994.602, 20842.067, 7885.4935}},
      {"dpm++2m thresholded",
       "dpm++2m",
       linspace,
       10,
       {"final_sigmas_type=sigma_min", "lower_order_final=false", "thresholding=true",
        "dynamic_thresholding_ratio=0.87", "sample_max_value=0.5"},
       a,
       false,
       872.735443,
       {384.71586, 385.12176, 385.47568}},
      {"dpm++2m to sigma_min",
       "dpm++2m",
       linspace,
       10,
       {"final_sigmas_type=sigma_min", "lower_order_final=false"},
       a,
       false,
       253.552879,
       {384.08541, 384.16625, 383.81889}},
      {"dpm++2m", "dpm++2m", linspace, 10, {}, b, false, 190.459774, {368.85073, 369.98878, 386.10896}},
      {"dpm++2m heun v",
       "dpm++2m",
       linspace_v,
       20,
       {"solver_type=heun"},
       b,
       false,
       85.5755026,
       {381.90917, 379.67218, 376.0433}},
      {"dpm++ order 1",
       "dpm++2m",
       linspace,
       10,
       {"solver_order=1"},
       b,
       false,
       166.881111,
       {368.85073, 359.61523, 364.85404}},
      {"dpm++ order 3",
       "dpm++2m",
       linspace,
       12,
       {"solver_order=3"},
       b,
       false,
       183.03,
       {372.28385, 385.21429, 382.95389}},
      {"dpm++3m as published",
       "dpm++3m",
       linspace,
       12,
       {"published=true"},
       b,
       false,
       183.03,
       {372.28385, 385.21429, 382.95389}},
      {"dpm-solver of eps",
       "dpm++2m",
       linspace,
       10,
       {"algorithm_type=dpmsolver", "final_sigmas_type=sigma_min"},
       b,
       false,
       187.057224,
       {368.85073, 369.98878, 380.90101}},
      {"dpm++ sde of the class",
       "dpm++2m",
       linspace,
       10,
       {"algorithm_type=sde-dpmsolver++"},
       b,
       true,
       280.476979,
       {127.01522, 81.849068, 40.469009}},
      {"dpm++2m-sde", "dpm++2m-sde", linspace, 10, {}, b, true, 280.476979, {127.01522, 81.849068, 40.469009}},
      {"unipc to sigma_min",
       "unipc",
       linspace,
       10,
       {"final_sigmas_type=sigma_min"},
       a,
       false,
       189.231653,
       {384.08541, 383.9991, 383.82812}},
      {"unipc order 3",
       "unipc",
       linspace,
       12,
       {"solver_order=3"},
       b,
       false,
       186.733144,
       {372.28385, 391.27816, 377.32308}},
      {"unipc bh1 v",
       "unipc",
       linspace_v,
       10,
       {"solver_type=bh1", "final_sigmas_type=sigma_min"},
       b,
       false,
       91.8652165,
       {379.46114, 370.91491, 355.34599}},
      {"dpm++2m karras",
       "dpm++2m",
       linspace,
       16,
       {"use_karras_sigmas=true"},
       b,
       false,
       218.200635,
       {379.58625, 387.26839, 389.14629}},
  };
}

inline ReverseTable table_of(const GoldenRun& run) {
  if (run.walk) return run.walk(run);
  SchedulerConfig config;
  run.configure(config);
  return sampling_table(sampler_named(run.sampler), NoiseSchedule(config), {.steps = run.steps, .set = run.set});
}

}  // namespace ito::test
