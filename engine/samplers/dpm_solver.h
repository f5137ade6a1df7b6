// SPDX-License-Identifier: Apache-2.0
// The multistep DPM-Solvers (Lu et al. 2022a and 2022b), which several samplers are settings of: exponential
// integrators of the probability flow, or of the reverse SDE, in lambda = ln(alpha / sigma). One network call a step.
#pragma once
#include "engine/samplers/sampler.h"

namespace ito {

struct DpmSolver {
  int order = 2;              // 1 to 3: estimates that a step is made from
  bool from_eps = false;      // the estimates integrated: eps (DPM-Solver) or x0 (DPM-Solver++)
  bool sde = false;           // with the reverse SDE's noise
  bool midpoint = true;       // how the second order is taken; false: heun, as the third always is
  bool first_at_end = false;  // a last step of first order
  bool lower_at_end = true;   // in runs of fewer than 15 steps: of first order the last, of second the one before
  // The second divided difference of the third order, which is half of the derivative that is wanted: 1 as published
  // everywhere, 2 for third order.
  double curvature = 2;
};

// One step: x' = x * x + c1 m_0 + c2 D1 + c3 D2 + noise z, with D1 and D2 the estimate's first two differences along
// lambda, times the step and its square.
struct DpmStep {
  double x, c1, c2, c3, noise;
};
// The levels differ by kNoStep or more. order: 1 to 3; the second alone knows the midpoint.
DpmStep dpm_step(const DpmSolver& solver, const Level& from, const Level& to, int order);

// UserError where the rule and the problem's end do not go together.
void check_dpm_solver(const SamplingProblem& problem, const DpmSolver& solver);

// UserError for what has no rule: third order of the eps form's SDE, and the eps form to clean data.
ReverseTable dpm_solver_table(const SamplingProblem& problem, const DpmSolver& solver);

inline constexpr const char* kPublishedKey = "published";
inline constexpr const char* kPublishedHelp =
    "of the third order: half of the second derivative, as published code has it, which makes it of second order";

}  // namespace ito
