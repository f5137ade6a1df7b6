// SPDX-License-Identifier: Apache-2.0
// DDRM's rule (Kawar et al. 2022, eq. 7 and 8), which is DDNM+'s too (Wang et al. 2023) with eta_b = 1, and a walk that
// goes back to noise in between.
#pragma once
#include "engine/inverse/solvers/steps.h"

namespace ito {

struct DdrmRule {
  double eta, eta_b;
  bool starts_at_data;  // the first state holds the data where they are better than the state; or plain noise
  int travel_length = 1, travel_visits = 1;
};

RestorePlan ddrm_plan(const RestoreProblem& p, const DdrmRule& rule);
// The plan around an update that is edits alone: a row a move, whose coefficients are rule(from, to), and then the
// climb to where the move ends, whose noise adds to the edit's.
using StepRule = std::function<EditPlan::Rule(const Level& from, const Level& to)>;
RestorePlan walk_plan(const RestoreProblem& p, const std::vector<Level>& nodes, const std::vector<Move>& walk,
                      const StepRule& rule);

}  // namespace ito
