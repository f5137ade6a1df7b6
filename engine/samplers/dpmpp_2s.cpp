// SPDX-License-Identifier: Apache-2.0
// dpm++2s (Lu et al. 2022b, algorithm 1, on given levels), and what else diffusers' singlestep class asks for: the
// rules of dpm_singlestep.h by their published names, the third-order SDE but for its sign (dpm_solver.cpp).
#include "engine/samplers/dpm_singlestep.h"

namespace ito {
namespace {

constexpr const char* kOrders[] = {"1", "2", "3"};
constexpr SamplerOption kOrder = {"solver_order", 1, 0, 2, "calls in a block of levels", kOrders};
constexpr const char* kTypes[] = {"dpmsolver++", "dpmsolver", "sde-dpmsolver++"};
constexpr SamplerOption kAlgorithm =
    choice_option("algorithm_type", kTypes, "integrates x0 (++) or eps, along the flow or with the SDE's noise");
constexpr const char* kSolverTypes[] = {"midpoint", "heun"};
constexpr SamplerOption kSolverType =
    choice_option("solver_type", kSolverTypes, "how orders above the first are taken; midpoint is the paper's");

ReverseTable dpmpp_2s(const SamplingProblem& p) {
  const int order = 1 + static_cast<int>(p.option(kOrder.key)), type = static_cast<int>(p.option(kAlgorithm.key));
  const bool midpoint = p.option(kSolverType.key) == 0;
  const DpmSolver solver{.order = order, .from_eps = type == 1, .sde = type == 2, .midpoint = midpoint};
  const std::vector<int> orders =
      singlestep_orders(p.steps(), order, p.flag(kShortBlocksOption.key), p.nodes.back().sigma == 0);
  return dpm_singlestep_table(p, {.solver = solver, .orders = orders, .second_difference = !midpoint});
}

constexpr SamplerOption kOptions[] = {kOrder,       kAlgorithm, kSolverType, kShortBlocksOption, kFinalSigmasOption,
                                      kKarrasOption};
constexpr const char* kClasses[] = {"DPMSolverSinglestepScheduler"};
constexpr FixedArgument kFixed[] = {{"use_exponential_sigmas", "false"}, {"use_beta_sigmas", "false"},
                                    {"use_flow_sigmas", "false"},        {"flow_shift", "1.0"},
                                    {"use_dynamic_shifting", "false"},   {"time_shift_type", "\"exponential\""},
                                    {"lambda_min_clipped", "null"}};

}  // namespace

extern const Sampler kDpmPp2s;
const Sampler kDpmPp2s = {
    .name = "dpm++2s",
    .summary = "second order in blocks of two network calls (Lu et al. 2022)",
    .usual_steps = 25,
    .grid = GridKind::AboveSmallest,
    .clips = false,
    .thresholds = true,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFixed,
    .class_defaults = linspace_by_default,
    .table = dpmpp_2s,
};

}  // namespace ito
