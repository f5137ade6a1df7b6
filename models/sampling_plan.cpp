// SPDX-License-Identifier: Apache-2.0
// See sampling_plan.h.
#include "models/sampling_plan.h"

#include "engine/io/option_name.h"
#include "models/model_checks.h"

namespace ito {

const Sampler& sampler_of(const ModelOnDevice& model, const std::string& name) {
  return name.empty() ? sampler_of_class(model.scheduler.class_name, model.model.files.scheduler) : sampler_named(name);
}

SamplingPlan sampling_plan(const ModelOnDevice& model, const NoiseSchedule& schedule, const Sampler& sampler,
                           SamplingSettings settings) {
  SamplingPlan plan{.sampler = &sampler, .table = {}, .adaptive = {}, .statistics = {}};
  const std::string& reverse = settings.reverse.empty() ? model.scheduler.reverse : settings.reverse;
  if (sampler.reverse_options && reverse_option_named(reverse, option_name("reverse")).asks_statistics &&
      !model.model.files.statistics.empty()) {
    plan.statistics = read_level_statistics(model.model.files.statistics, schedule.steps());
    settings.statistics = &plan.statistics;
  }
  if (sampler.adaptive) {
    plan.adaptive = adaptive_plan(sampler, schedule, settings);
    return plan;
  }
  plan.table = sampling_table(sampler, schedule, settings);
  check_timesteps(
      model, plan.table,
      join_text("use ", option_name("spacing"), " leading with steps_offset 1 in the scheduler configuration").c_str(),
      join_text("use ", option_name("spacing"), " leading or trailing without use_karras_sigmas, or another ",
                option_name("sampler"))
          .c_str());
  return plan;
}

}  // namespace ito
