// SPDX-License-Identifier: Apache-2.0
// Annealed Langevin dynamics whose noise is part of the data's (Kawar, Vaksman and Elad 2021), which SNIPS and
// stochastic denoising walk.
#pragma once
#include "engine/inverse/solvers/steps.h"

namespace ito {

inline constexpr SamplerOption kLangevinStep = {
    "step", 0, 0, 1,
    "Langevin step, of the level's variance; 0: the published 0.033 of 500 levels, more of fewer, up to 0.2"};
inline constexpr SamplerOption kLangevinInner = count_option("inner_steps", 5, 1, 1000, "Langevin steps at each level");

// Rows at each of the levels, and one that ends with the network's estimate; the state begins as start says.
RestorePlan langevin_plan(const RestoreProblem& p, const std::vector<Level>& levels, const EditPlan::Rule& start);

}  // namespace ito
