// SPDX-License-Identifier: Apache-2.0
// The probability flow of a model from its data to its noise, which likelihoods are asked along, and the density at its
// end where it is known.
#pragma once
#include <functional>

#include "engine/diffusion/probability_flow.h"
#include "models/model_on_device.h"

namespace ito {

struct ModelFlow {
  ProbabilityFlow flow;
  // ln p_T of x at the noise's end, in the flow's state, for LikelihoodSettings; none: a normal density is taken. The
  // model outlives it.
  std::function<double(const float* x)> end_log_density;
};

// sampling_eps: where the flow ends at the data, as a share of the timesteps (Song et al. 2021, appendix C). A density
// that is known answers at any level, so its flow runs to where the noise left on data is nothing.
ModelFlow flow_of(const ModelOnDevice& model, const NoiseSchedule& schedule, double sampling_eps);

}  // namespace ito
