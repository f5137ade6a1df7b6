// SPDX-License-Identifier: Apache-2.0
// The list of samplers, the choice by name or diffusers class, and what a table is made from.
#include "engine/samplers/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/io/input_file.h"
#include "engine/samplers/flow.h"
#include "engine/samplers/sampler_options.h"
#include "engine/samplers/score_sde.h"

namespace ito {

extern const Sampler kDdpm, kDdim, kDdimInverse, kEuler, kEulerAncestral, kHeun, kEdmHeun, kKdpm2, kKdpm2Ancestral,
    kLms, kPndm, kIpndm, kDeis, kDpmSolverPp2m, kDpmPp2mSde, kDpmPp3m, kDpmPp1s, kDpmPp2s, kDpmPp3s, kDpmPp2sAncestral,
    kDpmPpSde, kUniPc, kEulerMaruyama, kReverseDiffusion, kPredictorCorrector, kLangevin, kFlowEuler, kFlowMidpoint,
    kFlowHeun, kOde45;

namespace {

constexpr const Sampler* kSamplers[] = {&kDdpm,
                                        &kDdim,
                                        &kDdimInverse,
                                        &kEuler,
                                        &kEulerAncestral,
                                        &kHeun,
                                        &kEdmHeun,
                                        &kKdpm2,
                                        &kKdpm2Ancestral,
                                        &kLms,
                                        &kPndm,
                                        &kIpndm,
                                        &kDeis,
                                        &kDpmSolverPp2m,
                                        &kDpmPp2mSde,
                                        &kDpmPp3m,
                                        &kDpmPp1s,
                                        &kDpmPp2s,
                                        &kDpmPp3s,
                                        &kDpmPp2sAncestral,
                                        &kDpmPpSde,
                                        &kUniPc,
                                        &kEulerMaruyama,
                                        &kReverseDiffusion,
                                        &kPredictorCorrector,
                                        &kLangevin,
                                        &kFlowEuler,
                                        &kFlowMidpoint,
                                        &kFlowHeun,
                                        &kOde45};

// What diffusers' solvers that divide by alpha have in place of abar 0.
constexpr double kLeastAbar = 0x1p-24;

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::vector<std::string> names_where(const std::function<bool(const Sampler&)>& holds) {
  std::vector<std::string> names;
  for (const Sampler* sampler : kSamplers)
    if (holds(*sampler)) names.emplace_back(sampler->name);
  return names;
}

// clip_sample of the run or the model, and in its place thresholding.
Clipping clipping_of(const SamplingProblem& p, const SamplingSettings& settings) {
  if (p.sampler.thresholds && p.flag(kThresholdingOptions[0].key))
    return {
        .range = 0, .quantile = p.option(kThresholdingOptions[1].key), .most = p.option(kThresholdingOptions[2].key)};
  const bool clip = p.sampler.clips && settings.clip_sample.value_or(p.config.clip_sample);
  return {.range = clip ? p.config.clip_sample_range : 0};
}

SamplingProblem problem_of(const Sampler& sampler, const NoiseSchedule& schedule, const SamplingSettings& settings);

}  // namespace

std::span<const Sampler* const> samplers() {
  return kSamplers;
}

std::vector<std::string> sampler_names() {
  return names_where([](const Sampler&) { return true; });
}

namespace {

// dpmpp-2s-ancestral is dpm++2s-ancestral: other programs have no + in their names.
std::string with_plus_signs(std::string_view name) {
  constexpr std::string_view kSpelled = "dpmpp-";
  return name.starts_with(kSpelled) ? "dpm++" + std::string(name.substr(kSpelled.size())) : std::string(name);
}

}  // namespace

const Sampler& sampler_named(std::string_view name) {
  for (const Sampler* sampler : samplers())
    if (sampler->name == with_plus_signs(name)) return *sampler;
  fail<UserError>("sampler ", quote_name(name), " is not known; use one of ", joined(sampler_names()),
                  did_you_mean(name, sampler_names()));
}

const Sampler& sampler_of_class(std::string_view class_name, const std::string& where) {
  std::vector<std::string> known;
  for (const Sampler* sampler : samplers())
    for (const char* one : sampler->scheduler_classes) {
      if (one == class_name) return *sampler;
      known.emplace_back(one);
    }
  fail<UserError>(where, ": _class_name ", quote_name(class_name), " is not implemented; use one of ", joined(known),
                  did_you_mean(class_name, known));
}

double SamplingProblem::option(std::string_view key) const {
  return values.at(option_index(join_text("sampler ", sampler.name), options_of(sampler), key));
}

double SamplingProblem::sigma_space_start() const {
  const double s_max = node(0).s();
  return config.family == Family::Edm || spacing == TimestepSpacing::Leading ? std::sqrt(s_max * s_max + 1) : s_max;
}

ReverseTable sampling_table(const Sampler& sampler, const NoiseSchedule& schedule, const SamplingSettings& settings) {
  ITO_CHECK(sampler.table, "sampler ", sampler.name, ": has no table of rows; it chooses its steps as it goes");
  return sampler.table(problem_of(sampler, schedule, settings));
}

AdaptivePlan adaptive_plan(const Sampler& sampler, const NoiseSchedule& schedule, const SamplingSettings& settings) {
  ITO_CHECK(sampler.adaptive, "sampler ", sampler.name, ": is a table of rows, and chooses no steps");
  ITO_USER_CHECK(settings.steps == 0, "sampler ", sampler.name, ": chooses its own steps, and was asked for ",
                 settings.steps, "; leave the number out, and set rtol and atol");
  return sampler.adaptive(problem_of(sampler, schedule, settings));
}

namespace {

SamplingProblem problem_of(const Sampler& sampler, const NoiseSchedule& schedule, const SamplingSettings& settings) {
  const SchedulerConfig& config = schedule.config();
  ITO_USER_CHECK(sampler.thresholds || !config.thresholding, "sampler ", sampler.name,
                 ": thresholding is true in the scheduler configuration, which this sampler does not do; set it to "
                 "false, or use one of ",
                 joined(names_where([](const Sampler& other) { return other.thresholds; })));
  ITO_USER_CHECK(sampler.families >> static_cast<int>(config.family) & 1, "sampler ", sampler.name,
                 ": does not sample a ", name_of(config.family),
                 " model, whose forward process has no SDE here; use "
                 "one of ",
                 joined(names_where([&](const Sampler& other) {
                   return (other.families >> static_cast<int>(config.family) & 1) != 0;
                 })));
  ITO_USER_CHECK(settings.reverse.empty() || sampler.reverse_options, "sampler ", sampler.name,
                 ": has no reverse option, it follows what the network predicts; use ",
                 joined(names_where([](const Sampler& other) { return other.reverse_options; })));
  check_fixed_arguments(sampler, config);
  SamplingProblem problem{.sampler = sampler,
                          .config = config,
                          .levels = Levels(schedule, sampler.divides_alpha ? kLeastAbar : 0),
                          .reading = Reading::of(config),
                          .nodes = {},
                          .clip = {},
                          .spacing = settings.timestep_spacing.value_or(config.timestep_spacing),
                          .values = option_values(sampler, config, settings.set)};
  problem.clip = clipping_of(problem, settings);
  problem.reverse = &reverse_option_named(settings.reverse.empty() ? config.reverse : settings.reverse, "sampling");
  problem.statistics = settings.statistics;
  const auto has = [&](const SamplerOption& shared) {
    return std::any_of(sampler.options.begin(), sampler.options.end(),
                       [&](const SamplerOption& option) { return option.key == std::string_view(shared.key); });
  };
  GridSettings grid;
  grid.kind = sampler.grid;
  grid.spacing = problem.spacing;
  const int usual = sampler.usual_steps ? std::min(sampler.usual_steps, schedule.steps()) : schedule.steps();
  grid.count = settings.steps ? settings.steps : usual;
  grid.offset = config.steps_offset;
  grid.low = has(kSigmaMinOption) ? problem.option(kSigmaMinOption.key) : 0;
  grid.high = has(kSigmaMaxOption) ? problem.option(kSigmaMaxOption.key) : 0;
  // A preconditioned network was trained for any level, and its classes space them so always.
  grid.whole_range = config.family == Family::Edm;
  grid.karras = grid.whole_range || (has(kKarrasOption) && problem.flag(kKarrasOption.key));
  grid.rho = config.rho;
  if (has(kSamplingEpsOption)) grid.end_time = problem.option(kSamplingEpsOption.key);
  if (has(kShiftOption)) grid.shift = problem.option(kShiftOption.key);
  grid.truncated = sampler.truncates_times && config.beta_schedule == BetaSchedule::SquaredCosCapV2;
  problem.nodes = grid_levels(problem.levels, grid);
  const bool ends_noisy = has(kFinalSigmasOption) && problem.option(kFinalSigmasOption.key) == 1;
  problem.nodes.push_back(problem.levels.at(ends_noisy ? 0 : -1));
  return problem;
}

}  // namespace

SchedulerConfig read_scheduler_config(const Json& json, const std::string& where, std::vector<std::string>& warnings) {
  SchedulerConfig defaults;
  const auto named = json.is_object() ? json.find("_class_name") : json.end();
  const Sampler* sampler = &kDdpm;
  if (json.is_object() && named != json.end() && named->is_string()) {
    sampler = &sampler_of_class(named->get_ref<const std::string&>(), where);
    defaults.class_name = named->get<std::string>();
    if (sampler->class_defaults) sampler->class_defaults(defaults);
  }
  SchedulerConfig config = parse_scheduler_config(json, where, defaults);
  std::vector<std::string> unknown;
  for (auto item = config.sampler_keys.begin(); item != config.sampler_keys.end();) {
    const std::string& key = item.key();
    const auto same = [&](const auto& known) { return known.key == key; };
    if (std::any_of(sampler->options.begin(), sampler->options.end(), same) ||
        std::any_of(sampler->fixed.begin(), sampler->fixed.end(), same)) {
      ++item;
      continue;
    }
    unknown.push_back(key);
    item = config.sampler_keys.erase(item);
  }
  if (!unknown.empty())
    warnings.push_back(
        join_text(where, ": ignored what is no argument of ", config.class_name, ": ", list_names(unknown)));
  return config;
}

}  // namespace ito
