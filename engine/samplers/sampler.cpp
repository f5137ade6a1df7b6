// SPDX-License-Identifier: Apache-2.0
// What all samplers share: the estimates of x0 and eps from the network's output, the clip, and the choice by name.
#include "engine/samplers/sampler.h"

#include "engine/diffusion/reading.h"
#include "engine/samplers/timesteps.h"

namespace ito {
namespace {

struct NamedSampler {
  std::string_view name;
  std::unique_ptr<Sampler> (*make)();
};
constexpr NamedSampler kSamplers[] = {{"ddpm", make_ddpm_sampler}, {"ddim", make_ddim_sampler}};

ReverseCoefficients estimates(const SchedulerConfig& config, const SamplerSettings& settings, const CallAt& call) {
  ReverseCoefficients row{};
  row.timestep = static_cast<float>(call.time);
  row.x0_from_x = static_cast<float>(call.x0.from_x);
  row.x0_from_pred = static_cast<float>(call.x0.from_given);
  row.eps_from_x = static_cast<float>(call.eps.from_x);
  row.eps_from_pred = static_cast<float>(call.eps.from_given);
  row.eps_clip_x = static_cast<float>(call.eps_from_x0.from_x);
  row.eps_clip_x0 = static_cast<float>(call.eps_from_x0.from_given);
  row.clip = settings.clip_sample.value_or(config.clip_sample) ? static_cast<float>(config.clip_sample_range) : 0.0f;
  return row;
}

}  // namespace

std::vector<int> Sampler::timesteps(const NoiseSchedule& schedule, const SamplerSettings& settings) const {
  const SchedulerConfig& config = schedule.config();
  return spaced_timesteps(settings.timestep_spacing.value_or(config.timestep_spacing), schedule.steps(), settings.steps,
                          config.steps_offset);
}

std::vector<ReverseCoefficients> Sampler::table(const NoiseSchedule& schedule, const SamplerSettings& settings) const {
  // The quantile of a whole image is not linear in it, so a row of coefficients cannot say it.
  ITO_USER_CHECK(!schedule.config().thresholding, "sampler ", name(),
                 ": thresholding true in the scheduler configuration is not implemented; set it to false to clip x0 to "
                 "clip_sample_range instead");
  check(settings);
  const std::vector<int> grid = timesteps(schedule, settings);
  std::vector<ReverseCoefficients> rows;
  rows.reserve(grid.size());
  const Levels levels(schedule);
  const Reading reading(schedule.config().prediction_type);
  for (size_t i = 0; i < grid.size(); ++i) {
    rows.push_back(estimates(schedule.config(), settings, reading.call(levels.at(grid[i]))));
    set_step(rows.back(), schedule, settings, grid, static_cast<int>(i));
  }
  return rows;
}

std::vector<std::string> sampler_names() {
  std::vector<std::string> names;
  for (const NamedSampler& sampler : kSamplers) names.emplace_back(sampler.name);
  return names;
}

std::unique_ptr<Sampler> make_sampler(std::string_view name) {
  std::string known;
  for (const NamedSampler& sampler : kSamplers) {
    if (sampler.name == name) return sampler.make();
    known += (known.empty() ? "" : ", ") + std::string(sampler.name);
  }
  fail<UserError>("sampler '", name, "' is not known; use one of ", known, did_you_mean(name, sampler_names()));
}

}  // namespace ito
