// SPDX-License-Identifier: Apache-2.0
// Steps that follow the gradient of the residual's norm, which DPS and MCG share.
#pragma once
#include "engine/inverse/solvers/steps.h"

namespace ito {

// x' = [DDIM step] + weight J^T H^T r / |r|, r = y - H(D), at every node.
RestorePlan residual_plan(const RestoreProblem& p, const std::vector<Level>& nodes, double eta, double weight);

}  // namespace ito
