// SPDX-License-Identifier: Apache-2.0
// Heun's rule, which two samplers walk on grids of their own.
#pragma once
#include "engine/samplers/churn.h"

namespace ito {

// Of a sampler with the options of churn.h. The first state is `start` times a standard normal.
ReverseTable heun_table(const SamplingProblem& problem, double start);

}  // namespace ito
