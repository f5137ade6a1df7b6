// SPDX-License-Identifier: Apache-2.0
// Steps that follow the gradient of the residual's norm, which DPS and MCG share.
#pragma once
#include "engine/inverse/solvers/steps.h"

namespace ito {

inline constexpr SamplerOption kResidualEta = {"eta", 1, 0, 1, "noise of a step: 0 none, 1 as DDPM"};
inline constexpr SamplerOption kResidualVariance =
    flag_option("learned_variance", false, "a step's noise as the model has learned it, as the authors' models have");

// x' = [DDIM step] + weight J^T H^T r / |r|, r = y - H(D), at every node, with the two options above.
RestorePlan residual_plan(const RestoreProblem& p, const std::vector<Level>& nodes, double weight);

}  // namespace ito
