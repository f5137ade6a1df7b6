// SPDX-License-Identifier: Apache-2.0
// See sampler_options.h.
#include "engine/samplers/sampler_options.h"

#include <algorithm>

#include "engine/io/input_file.h"

namespace ito {
namespace {

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

std::vector<SamplerOption> options_of(const Sampler& sampler) {
  std::vector<SamplerOption> options(sampler.options.begin(), sampler.options.end());
  if (sampler.thresholds)
    options.insert(options.end(), std::begin(kThresholdingOptions), std::end(kThresholdingOptions));
  return options;
}

std::vector<double> option_values(const Sampler& sampler, const SchedulerConfig& config,
                                  const std::vector<std::string>& set) {
  const std::vector<SamplerOption> options = options_of(sampler);
  const std::string who = join_text("sampler ", sampler.name);
  std::vector<double> values;
  for (const SamplerOption& option : options) {
    const auto found = config.sampler_keys.find(option.key);
    values.push_back(found == config.sampler_keys.end() ? option.usual : option_value(who, option, text_of(*found)));
  }
  if (sampler.thresholds) {  // these are read with the schedule
    const double thresholding[] = {config.thresholding ? 1.0 : 0.0, config.dynamic_thresholding_ratio,
                                   config.sample_max_value};
    std::copy(std::begin(thresholding), std::end(thresholding), values.end() - std::ssize(thresholding));
  }
  set_option_values(who, options, set, values);
  return values;
}

void check_fixed_arguments(const Sampler& sampler, const SchedulerConfig& config) {
  for (const FixedArgument& fixed : sampler.fixed) {
    const auto found = config.sampler_keys.find(fixed.key);
    if (found == config.sampler_keys.end()) continue;
    ITO_USER_CHECK(*found == Json::parse(fixed.value), "sampler ", sampler.name, ": ", fixed.key, " is ",
                   printable(found->dump(), 40), " in the scheduler configuration; only ", fixed.value,
                   " is implemented");
  }
}

}  // namespace ito
