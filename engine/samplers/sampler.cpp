// SPDX-License-Identifier: Apache-2.0
// The list of samplers, the choice by name or diffusers class, and what a table is made from.
#include "engine/samplers/sampler.h"

#include <algorithm>
#include <cmath>

#include "engine/io/input_file.h"
#include "engine/samplers/sampler_options.h"

namespace ito {

extern const Sampler kDdpm, kDdim, kDdimInverse, kEuler, kEulerAncestral, kHeun, kEdmHeun, kKdpm2, kKdpm2Ancestral,
    kLms, kPndm, kIpndm, kDeis, kDpmSolverPp2m, kDpmPp2mSde, kDpmPp3m, kDpmPp1s, kDpmPp2s, kDpmPp3s, kDpmPp2sAncestral,
    kDpmPpSde, kUniPc;

namespace {

constexpr const Sampler* kSamplers[] = {&kDdpm,     &kDdim,    &kDdimInverse, &kEuler,          &kEulerAncestral,
                                        &kHeun,     &kEdmHeun, &kKdpm2,       &kKdpm2Ancestral, &kLms,
                                        &kPndm,     &kIpndm,   &kDeis,        &kDpmSolverPp2m,  &kDpmPp2mSde,
                                        &kDpmPp3m,  &kDpmPp1s, &kDpmPp2s,     &kDpmPp3s,        &kDpmPp2sAncestral,
                                        &kDpmPpSde, &kUniPc};

// What diffusers' solvers that divide by alpha have in place of abar 0.
constexpr double kLeastAbar = 0x1p-24;

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::span<const Sampler* const> samplers() {
  return kSamplers;
}

std::vector<std::string> sampler_names() {
  std::vector<std::string> names;
  for (const Sampler* sampler : samplers()) names.emplace_back(sampler->name);
  return names;
}

const Sampler& sampler_named(std::string_view name) {
  for (const Sampler* sampler : samplers())
    if (sampler->name == name) return *sampler;
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
  const auto at = std::find_if(sampler.options.begin(), sampler.options.end(),
                               [&](const SamplerOption& option) { return option.key == key; });
  ITO_CHECK(at != sampler.options.end(), "sampler ", sampler.name, ": asks for option ", key,
            ", which it does not declare");
  return values.at(at - sampler.options.begin());
}

double SamplingProblem::sigma_space_start() const {
  const double s_max = node(0).s();
  return spacing == TimestepSpacing::Leading ? std::sqrt(s_max * s_max + 1) : s_max;
}

ReverseTable sampling_table(const Sampler& sampler, const NoiseSchedule& schedule, const SamplingSettings& settings) {
  const SchedulerConfig& config = schedule.config();
  // The quantile of a whole image is not linear in it, so a row alone cannot say it.
  ITO_USER_CHECK(!config.thresholding, "sampler ", sampler.name,
                 ": thresholding true in the scheduler configuration is not implemented; set it to false to clip x0 to "
                 "clip_sample_range instead");
  check_fixed_arguments(sampler, config);
  const bool clip = sampler.clips && settings.clip_sample.value_or(config.clip_sample);
  SamplingProblem problem{.sampler = sampler,
                          .config = config,
                          .levels = Levels(schedule, sampler.divides_alpha ? kLeastAbar : 0),
                          .reading = Reading(config.prediction_type),
                          .nodes = {},
                          .clip = clip ? config.clip_sample_range : 0,
                          .spacing = settings.timestep_spacing.value_or(config.timestep_spacing),
                          .values = option_values(sampler, config, settings.set)};
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
  grid.karras = has(kKarrasOption) && problem.flag(kKarrasOption.key);
  grid.low = has(kSigmaMinOption) ? problem.option(kSigmaMinOption.key) : 0;
  grid.high = has(kSigmaMaxOption) ? problem.option(kSigmaMaxOption.key) : 0;
  grid.truncated = sampler.truncates_times && config.beta_schedule == BetaSchedule::SquaredCosCapV2;
  problem.nodes = grid_levels(problem.levels, grid);
  const bool ends_noisy = has(kFinalSigmasOption) && problem.option(kFinalSigmasOption.key) == 1;
  problem.nodes.push_back(problem.levels.at(ends_noisy ? 0 : -1));
  return sampler.table(problem);
}

SchedulerConfig read_scheduler_config(const Json& json, const std::string& where, std::vector<std::string>& warnings) {
  SchedulerConfig defaults;
  const auto named = json.is_object() ? json.find("_class_name") : json.end();
  const Sampler* sampler = &kDdpm;
  if (json.is_object() && named != json.end() && named->is_string()) {
    sampler = &sampler_of_class(named->get_ref<const std::string&>(), where);
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
