// SPDX-License-Identifier: Apache-2.0
// The values of a sampler's options.
#pragma once
#include <string>
#include <vector>

#include "engine/samplers/sampler.h"

namespace ito {

// The sampler's own options, and those of thresholding where it does that.
std::vector<SamplerOption> options_of(const Sampler& sampler);

// One value an option of options_of, in their order: what it usually is, then what the scheduler's configuration says,
// then the settings "key=value" in turn. UserError for a key that the sampler does not have, and for a value out of
// range.
std::vector<double> option_values(const Sampler& sampler, const SchedulerConfig& config,
                                  const std::vector<std::string>& set);

// Refuses (UserError) a configuration that asks the sampler's class for what is not implemented.
void check_fixed_arguments(const Sampler& sampler, const SchedulerConfig& config);

}  // namespace ito
