// SPDX-License-Identifier: Apache-2.0
// DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2): an exponential integrator of the probability flow in lambda =
// ln(alpha / sigma), with the x0 estimate D and the one before it, one network call a step. With h = lambda' - lambda
// and r = (lambda - lambda of the step before) / h:
//   x' = sigma'/sigma x - alpha' (e^-h - 1) D + c (D - D_before) / r,
//   c  = -alpha' (e^-h - 1) / 2 (midpoint)  or  alpha' ((e^-h - 1) / h + 1) (heun).
// The first step is of first order, and so is the last of a short run; a step to clean data is x' = D. As in diffusers,
// x0 is not clipped.
#include <cmath>

#include "engine/samplers/sampler.h"

namespace ito {
namespace {

constexpr int kShortRun = 15;  // steps below which lower_order_final acts

constexpr const char* kSolverTypes[] = {"midpoint", "heun"};
constexpr SamplerOption kSolverType =
    choice_option("solver_type", kSolverTypes, "how the second order is taken; midpoint is the paper's");
constexpr SamplerOption kLowerOrderFinal =
    flag_option("lower_order_final", true, "a last step of first order in runs of fewer than 15 steps");
constexpr SamplerOption kEulerAtFinal = flag_option("euler_at_final", false, "a last step of first order always");

ReverseTable dpm_solver_pp_2m(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Vp, p.clip);
  History<1> past(rows);
  Level before{};  // of the estimate kept
  const bool first_order_end = p.flag(kEulerAtFinal.key) || (p.flag(kLowerOrderFinal.key) && p.steps() < kShortRun);
  for (int i = 0; i < p.steps(); ++i) {
    const Level &from = p.node(i), &to = p.node(i + 1);
    rows.call(from);
    if (to.sigma == 0) {
      rows.state().x0(1);
      continue;
    }
    const double h = to.lambda() - from.lambda(), shrink = std::expm1(-h);
    // Grids of many steps may hold a level twice: nothing to do there, and nothing to learn from the step before.
    if (h == 0) {
      rows.state().x(1);
      continue;
    }
    rows.state().x(to.sigma / from.sigma).x0(-to.alpha * shrink);
    const bool last = i + 1 == p.steps();
    if (past.size() && !(last && first_order_end)) {
      const double r = (from.lambda() - before.lambda()) / h;
      const double c = p.option(kSolverType.key) == 0 ? -to.alpha * shrink / 2 : to.alpha * (shrink / h + 1);
      rows.x0(c / r).reg(past[1], -c / r);
    }
    past.keep_x0();
    before = from;
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kKarrasOption, kFinalSigmasOption, kSolverType, kLowerOrderFinal, kEulerAtFinal};
constexpr const char* kClasses[] = {"DPMSolverMultistepScheduler"};
constexpr FixedArgument kFixed[] = {
    {"solver_order", "2"},        {"algorithm_type", "\"dpmsolver++\""}, {"use_exponential_sigmas", "false"},
    {"use_beta_sigmas", "false"}, {"use_lu_lambdas", "false"},           {"use_flow_sigmas", "false"},
    {"flow_shift", "1.0"},        {"lambda_min_clipped", "null"},
};

void class_defaults(SchedulerConfig& config) {
  config.timestep_spacing = TimestepSpacing::Linspace;
}

}  // namespace

extern const Sampler kDpmSolverPp2m;
const Sampler kDpmSolverPp2m = {
    .name = "dpm++2m",
    .summary = "second order, one network call a step (Lu et al. 2022)",
    .usual_steps = 25,
    .grid = GridKind::AboveSmallest,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFixed,
    .class_defaults = class_defaults,
    .table = dpm_solver_pp_2m,
};

}  // namespace ito
