// SPDX-License-Identifier: Apache-2.0
// Rectified flow's state (Liu et al. 2023; Esser et al. 2024): x = (1 - u) x0 + u eps, which moves along v = eps - x0,
// so that dx/du = v. A model of another family is asked at the level with the same noise to signal.
#pragma once
#include "engine/samplers/sampler.h"

namespace ito {

inline constexpr SamplerOption kShiftOption = {"shift", 1, 1e-3, 1000, "above 1: more of the steps at high noise"};

// What diffusers' flow classes have besides, implemented at one value alone.
inline constexpr FixedArgument kFlowArguments[] = {{"use_dynamic_shifting", "false"},   {"use_karras_sigmas", "false"},
                                                   {"use_exponential_sigmas", "false"}, {"use_beta_sigmas", "false"},
                                                   {"invert_sigmas", "false"},          {"shift_terminal", "null"}};

// A builder in x; runs begin at the first node's u: z, or a little less or more of it where u is below 1.
RowBuilder flow_rows(const SamplingProblem& p);
double flow_time(const Level& level);                  // u
Level flow_level(const SamplingProblem& p, double u);  // its inverse
// Adds weight v to the open write.
void add_velocity(RowBuilder& rows, double weight);

// The defaults of diffusers' flow classes.
void flow_defaults(SchedulerConfig& config);

}  // namespace ito
