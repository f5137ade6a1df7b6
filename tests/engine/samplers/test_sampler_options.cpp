// SPDX-License-Identifier: Apache-2.0
// Samplers as data: the choice by name and class, what may be set, and where a value comes from.
#include "engine/samplers/sampler_options.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

ReverseTable table_of(const char* sampler, const SchedulerConfig& config, const SamplingSettings& settings) {
  return sampling_table(sampler_named(sampler), NoiseSchedule(config), settings);
}
std::string refused(const char* sampler, const SchedulerConfig& config, const SamplingSettings& settings) {
  return user_error([&] { table_of(sampler, config, settings); });
}

TEST(SamplerList, IsWellFormed) {
  std::set<std::string> names, classes;
  for (const Sampler* sampler : samplers()) {
    EXPECT_TRUE(names.insert(sampler->name).second) << sampler->name;
    EXPECT_EQ(&sampler_named(sampler->name), sampler);
    EXPECT_FALSE(std::string(sampler->summary).empty()) << sampler->name;
    EXPECT_NE(sampler->table == nullptr, sampler->adaptive == nullptr) << sampler->name << " has one of the two";
    for (const char* one : sampler->scheduler_classes) {
      EXPECT_TRUE(classes.insert(one).second) << one;
      EXPECT_EQ(&sampler_of_class(one, ""), sampler);
    }
    std::set<std::string> keys;
    for (const SamplerOption& option : sampler->options) {
      EXPECT_TRUE(keys.insert(option.key).second) << sampler->name << " " << option.key;
      EXPECT_LE(option.least, option.usual) << option.key;
      EXPECT_LE(option.usual, option.most) << option.key;
    }
    for (const FixedArgument& fixed : sampler->fixed) {
      EXPECT_TRUE(keys.insert(fixed.key).second) << sampler->name << " " << fixed.key;
      EXPECT_NO_THROW(Json::parse(fixed.value)) << fixed.key;
    }
  }
  EXPECT_EQ(&sampler_named("dpmpp-2s-ancestral"), &sampler_named("dpm++2s-ancestral"));
  EXPECT_EQ(&sampler_named("dpmpp-sde"), &sampler_named("dpm++sde"));
  std::string known, known_classes;
  for (const Sampler* sampler : samplers()) {
    known += (known.empty() ? "" : ", ") + std::string(sampler->name);
    for (const char* one : sampler->scheduler_classes)
      known_classes += (known_classes.empty() ? "" : ", ") + std::string(one);
  }
  EXPECT_EQ(user_error([] { sampler_named("ddmi"); }),
            "sampler 'ddmi' is not known; use one of " + known + "; did you mean 'ddim'?");
  EXPECT_EQ(user_error([] { sampler_of_class("DDIMSchedular", "x.json"); }),
            "x.json: _class_name 'DDIMSchedular' is not implemented; use one of " + known_classes +
                "; did you mean 'DDIMScheduler'?");
}

TEST(SamplerOptions, ComeFromTheSamplerThenTheFileThenTheUser) {
  SchedulerConfig config;
  const Sampler& ddim = sampler_named("ddim");
  EXPECT_EQ(option_values(ddim, config, {}), (std::vector<double>{0, 0, 0, 0.995, 1}));
  config.sampler_keys = {{"eta", 0.25}, {"use_clipped_model_output", true}, {"solver_order", 3}};
  EXPECT_EQ(option_values(ddim, config, {}), (std::vector<double>{0.25, 1, 0, 0.995, 1}));
  EXPECT_EQ(option_values(ddim, config, {"eta=0.5", "eta=0.75", "use_clipped_model_output=false"}),
            (std::vector<double>{0.75, 0, 0, 0.995, 1}));
}

TEST(SamplerOptions, Refusals) {
  const SchedulerConfig config;
  const auto set = [&](const char* sampler, const std::string& setting) {
    return refused(sampler, config, {.steps = 10, .set = {setting}});
  };
  EXPECT_EQ(set("ddim", "eta=1.5"), "sampler ddim: eta is 1.5; expected 0 to 1");
  EXPECT_EQ(set("ddim", "eta=nan"), "sampler ddim: eta is nan; expected 0 to 1");
  EXPECT_EQ(set("ddim", "eta="), "sampler ddim: eta is ; expected 0 to 1");
  EXPECT_EQ(set("ddim", "eta=0.5x"), "sampler ddim: eta is 0.5x; expected 0 to 1");
  EXPECT_EQ(set("ddim", "use_clipped_model_output=1"),
            "sampler ddim: use_clipped_model_output is 1; expected false or true");
  EXPECT_EQ(set("ddim", "etta=1"),
            "sampler ddim: has no option 'etta'; it has 'eta', 'use_clipped_model_output', 'thresholding', "
            "'dynamic_thresholding_ratio', 'sample_max_value'; did you mean 'eta'?");
  EXPECT_EQ(set("ddpm", "eta=0.5"),
            "sampler ddpm: has no option 'eta'; it has 'mix', 'thresholding', 'dynamic_thresholding_ratio', "
            "'sample_max_value'");
  EXPECT_EQ(set("ddpm", "sample_max_value=0"), "sampler ddpm: sample_max_value is 0; expected 1e-06 to 1e+06");
  EXPECT_EQ(set("ddim", "eta"), "sampler ddim: 'eta' sets nothing; expected key=value");
  EXPECT_EQ(set("ddim", "=1"), "sampler ddim: '=1' sets nothing; expected key=value");
  EXPECT_EQ(set("dpm++2m", "solver_type=bh1"), "sampler dpm++2m: solver_type is bh1; expected midpoint or heun");
}

TEST(SamplerOptions, HelpNamesDefaultsAndRanges) {
  const std::vector<std::string> lines = option_lines(options_of(sampler_named("ddim")));
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[0], "eta=0 (0 to 1): 0 is deterministic, 1 as noisy as ddpm");
  EXPECT_EQ(lines[1], "use_clipped_model_output=false (false or true): eps follows from the clipped x0");
  EXPECT_EQ(lines[2],
            "thresholding=false (false or true): dynamic thresholding of x0 in place of the clip (Saharia et al. "
            "2022)");
}

TEST(SamplingTable, SettingsOverrideTheConfiguration) {
  SchedulerConfig config;
  config.clip_sample_range = 2;
  EXPECT_EQ(table_of("ddpm", config, {.steps = 10}).rows[0].clip, 2);
  const ReverseTable table =
      table_of("ddpm", config, {.steps = 10, .clip_sample = false, .timestep_spacing = TimestepSpacing::Trailing});
  EXPECT_EQ(table.rows[0].clip, 0);
  EXPECT_EQ(table.rows[0].timestep, 999);
  EXPECT_EQ(table_of("dpm++2m", config, {.steps = 10}).rows[0].clip, 0) << "its class has no clip_sample";
}

TEST(SamplingTable, Refusals) {
  SchedulerConfig config;
  EXPECT_NE(refused("ddim", config, {.steps = 1001}), "");
  config.thresholding = true;
  EXPECT_NE(refused("euler", config, {.steps = 10}).find("thresholding is true"), std::string::npos);
  EXPECT_EQ(refused("ddim", config, {.steps = 10}), "");
  config.thresholding = false;
  config.rescale_betas_zero_snr = true;
  EXPECT_EQ(refused("ddpm", config, {.steps = 10}), "");  // leading: starts at 900, which is not pure noise
  SamplingSettings settings{.steps = 10, .timestep_spacing = TimestepSpacing::Trailing};
  EXPECT_NE(refused("ddpm", config, settings).find("prediction_type epsilon"), std::string::npos);
  EXPECT_EQ(refused("heun", config, settings), "") << "it starts at abar 2^-24";
  config.prediction_type = Quantity::x0();
  EXPECT_EQ(refused("ddpm", config, settings), "");
  EXPECT_EQ(refused("ddim", config, settings), "");
}

SchedulerConfig read(const std::string& text, std::vector<std::string>* warnings = nullptr) {
  std::vector<std::string> ignored;
  return read_scheduler_config(parse_json(text, "x.json"), "x.json", warnings ? *warnings : ignored);
}

// A file without a key means its class's default, which is not DDPMScheduler's everywhere.
TEST(SchedulerFiles, HaveTheDefaultsOfTheirClass) {
  EXPECT_EQ(read("{}"), SchedulerConfig{});
  const SchedulerConfig heun = read(R"({"_class_name": "HeunDiscreteScheduler"})");
  EXPECT_EQ(heun.beta_start, 0.00085);
  EXPECT_EQ(heun.timestep_spacing, TimestepSpacing::Linspace);
  EXPECT_FALSE(heun.clip_sample);
  const SchedulerConfig solver = read(R"({"_class_name": "DPMSolverMultistepScheduler", "beta_end": 0.03})");
  EXPECT_EQ(solver.beta_start, 1e-4);
  EXPECT_EQ(solver.beta_end, 0.03);
  EXPECT_EQ(solver.timestep_spacing, TimestepSpacing::Linspace);
}

// Every argument that the class writes is read or refused; none is passed over without a word.
TEST(SchedulerFiles, OfDpmSolverAreReadWhole) {
  std::vector<std::string> warnings;
  const std::string all = R"({"_class_name": "DPMSolverMultistepScheduler", "_diffusers_version": "0.31.0",
    "num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear",
    "trained_betas": null, "solver_order": 2, "prediction_type": "epsilon", "thresholding": false,
    "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0, "algorithm_type": "dpmsolver++",
    "solver_type": "heun", "lower_order_final": false, "euler_at_final": true, "use_karras_sigmas": true,
    "use_exponential_sigmas": false, "use_beta_sigmas": false, "use_lu_lambdas": false, "use_flow_sigmas": false,
    "flow_shift": 1.0, "final_sigmas_type": "sigma_min", "lambda_min_clipped": null, "variance_type": null,
    "timestep_spacing": "linspace", "steps_offset": 0, "rescale_betas_zero_snr": false})";
  const SchedulerConfig config = read(all, &warnings);
  EXPECT_TRUE(warnings.empty()) << warnings.at(0);
  const Sampler& sampler = sampler_of_class(config.class_name, "");
  EXPECT_EQ(option_values(sampler, config, {}), (std::vector<double>{1, 0, 1, 0, 1, 1, 1, 1, 0, 0.995, 1}));
  EXPECT_EQ(refused("dpm++2m", config, {.steps = 10}), "");
  EXPECT_EQ(read(json_text(scheduler_config_json(config))), config) << "written and read again";

  const auto changed = [&](const char* key, const Json& value) {
    Json json = parse_json(all, "");
    json[key] = value;
    return refused("dpm++2m", read(json.dump()), {.steps = 10});
  };
  EXPECT_EQ(changed("solver_order", 3), "");
  EXPECT_EQ(changed("solver_order", 4), "sampler dpm++2m: solver_order is 4; expected 1, 2 or 3");
  for (const char* type : {"dpmsolver", "sde-dpmsolver", "sde-dpmsolver++"})
    EXPECT_EQ(changed("algorithm_type", type), "") << type;
  EXPECT_EQ(
      changed("algorithm_type", "deis"),
      "sampler dpm++2m: algorithm_type is deis; expected dpmsolver++, dpmsolver, sde-dpmsolver++ or sde-dpmsolver");
  EXPECT_EQ(refused("dpm++2m", config, {.steps = 10, .set = {"algorithm_type=sde-dpmsolver", "solver_order=3"}}),
            "sampler dpm++2m: sde-dpmsolver has no third order; set solver_order to 1 or 2, or take sde-dpmsolver++");
  EXPECT_EQ(refused("dpm++2m", config, {.steps = 10, .set = {"algorithm_type=dpmsolver", "final_sigmas_type=zero"}}),
            "sampler dpm++2m: dpmsolver cannot end at clean data; set final_sigmas_type to sigma_min, or take "
            "dpmsolver++");
  EXPECT_NE(changed("use_lu_lambdas", true).find("use_lu_lambdas"), std::string::npos);
  EXPECT_NE(changed("use_flow_sigmas", true).find("use_flow_sigmas"), std::string::npos);
  EXPECT_NE(changed("lambda_min_clipped", -5.1).find("lambda_min_clipped"), std::string::npos);
  EXPECT_NE(changed("solver_type", "bh2").find("solver_type is bh2"), std::string::npos);
  EXPECT_EQ(changed("use_beta_sigmas", nullptr), "") << "null asks for nothing";

  // Another sampler has no use for them, and its own options are not theirs.
  EXPECT_EQ(refused("ddim", config, {.steps = 10}), "");
  // A key that the class does not have is named.
  Json json = parse_json(all, "");
  json["solver_ordr"] = 2;
  read(json.dump(), &warnings);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0], "x.json: ignored what is no argument of DPMSolverMultistepScheduler: 'solver_ordr'");
}

TEST(SchedulerFiles, OfHeunAreReadWhole) {
  std::vector<std::string> warnings;
  const SchedulerConfig config = read(R"({"_class_name": "HeunDiscreteScheduler", "_diffusers_version": "0.31.0",
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear",
    "trained_betas": null, "prediction_type": "epsilon", "use_karras_sigmas": true, "use_exponential_sigmas": false,
    "use_beta_sigmas": false, "clip_sample": false, "clip_sample_range": 1.0, "timestep_spacing": "linspace",
    "steps_offset": 0})",
                                      &warnings);
  EXPECT_TRUE(warnings.empty()) << warnings.at(0);
  EXPECT_EQ(option_values(sampler_named("heun"), config, {}),
            (std::vector<double>{1, 0, 0, std::numeric_limits<double>::infinity(), 1}));
}

TEST(SchedulerFiles, OfTheSinglestepSolverAreReadWhole) {
  std::vector<std::string> warnings;
  const std::string all = R"({"_class_name": "DPMSolverSinglestepScheduler", "_diffusers_version": "0.31.0",
    "num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear",
    "trained_betas": null, "solver_order": 3, "prediction_type": "epsilon", "thresholding": false,
    "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0, "algorithm_type": "sde-dpmsolver++",
    "solver_type": "heun", "lower_order_final": true, "use_karras_sigmas": true, "use_exponential_sigmas": false,
    "use_beta_sigmas": false, "use_flow_sigmas": false, "flow_shift": 1.0, "use_dynamic_shifting": false,
    "time_shift_type": "exponential", "final_sigmas_type": "sigma_min", "lambda_min_clipped": null,
    "variance_type": null})";
  const SchedulerConfig config = read(all, &warnings);
  EXPECT_TRUE(warnings.empty()) << warnings.at(0);
  EXPECT_EQ(config.timestep_spacing, TimestepSpacing::Linspace);
  const Sampler& sampler = sampler_of_class(config.class_name, "");
  EXPECT_STREQ(sampler.name, "dpm++2s");
  EXPECT_EQ(option_values(sampler, config, {}), (std::vector<double>{2, 2, 1, 1, 1, 1, 0, 0.995, 1}));
  EXPECT_EQ(refused("dpm++2s", config, {.steps = 10}), "");
  const auto set = [&](std::vector<std::string> words) {
    return refused("dpm++2s", config, {.steps = 10, .set = std::move(words)});
  };
  EXPECT_EQ(set({"algorithm_type=sde-dpmsolver"}),
            "sampler dpm++2s: algorithm_type is sde-dpmsolver; expected dpmsolver++, dpmsolver or sde-dpmsolver++");
  EXPECT_EQ(set({"algorithm_type=dpmsolver", "final_sigmas_type=zero"}),
            "sampler dpm++2s: dpmsolver cannot end at clean data; set final_sigmas_type to sigma_min, or take "
            "dpmsolver++");
}

// The classes that know set_alpha_to_one have it in their files, with the default that is theirs.
TEST(SchedulerFiles, KeepSetAlphaToOne) {
  std::vector<std::string> warnings;
  const SchedulerConfig pndm = read(R"({"_class_name": "PNDMScheduler", "skip_prk_steps": true})", &warnings);
  EXPECT_TRUE(warnings.empty());
  EXPECT_FALSE(pndm.set_alpha_to_one);
  EXPECT_EQ(option_values(sampler_of_class(pndm.class_name, ""), pndm, {}), (std::vector<double>{1, 1}));
  const SchedulerConfig inverse = read(R"({"_class_name": "DDIMInverseScheduler"})");
  EXPECT_TRUE(inverse.set_alpha_to_one);
  for (SchedulerConfig config : {pndm, inverse})
    for (const bool one : {false, true}) {
      config.set_alpha_to_one = one;
      EXPECT_EQ(read(json_text(scheduler_config_json(config))), config);
    }
}

}  // namespace
}  // namespace ito::test
