// SPDX-License-Identifier: Apache-2.0
// dpm++2m (Lu et al. 2022b, algorithm 2), and what else diffusers' class asks for: the rules of dpm_solver.h by their
// published names. The third order is then the published one unless told otherwise; dpm++3m is the better one.
#include "engine/samplers/dpm_solver.h"

namespace ito {
namespace {

constexpr const char* kOrders[] = {"1", "2", "3"};
constexpr SamplerOption kOrder = {"solver_order", 1, 0, 2, "calls that a step is made from, its own among them",
                                  kOrders};
constexpr const char* kTypes[] = {"dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"};
constexpr SamplerOption kAlgorithm =
    choice_option("algorithm_type", kTypes, "integrates x0 (++) or eps, along the flow or with the SDE's noise");
constexpr const char* kSolverTypes[] = {"midpoint", "heun"};
constexpr SamplerOption kSolverType =
    choice_option("solver_type", kSolverTypes, "how the second order is taken; midpoint is the paper's");
constexpr SamplerOption kPublished = flag_option(kPublishedKey, true, kPublishedHelp);
constexpr SamplerOption kEulerAtFinal = flag_option("euler_at_final", false, "a last step of first order always");

ReverseTable multistep(const SamplingProblem& p) {
  const auto type = static_cast<int>(p.option(kAlgorithm.key));
  return dpm_solver_table(p, {.order = 1 + static_cast<int>(p.option(kOrder.key)),
                              .from_eps = type % 2 == 1,
                              .sde = type >= 2,
                              .midpoint = p.option(kSolverType.key) == 0,
                              .first_at_end = p.flag(kEulerAtFinal.key),
                              .lower_at_end = p.flag(kLowerOrderFinalOption.key),
                              .curvature = p.flag(kPublished.key) ? 1.0 : 2.0});
}

constexpr SamplerOption kOptions[] = {kOrder,        kAlgorithm,         kSolverType,   kLowerOrderFinalOption,
                                      kEulerAtFinal, kFinalSigmasOption, kKarrasOption, kPublished};
constexpr const char* kClasses[] = {"DPMSolverMultistepScheduler", "EDMDPMSolverMultistepScheduler"};
constexpr FixedArgument kFixed[] = {
    {"use_exponential_sigmas", "false"}, {"use_beta_sigmas", "false"}, {"use_lu_lambdas", "false"},
    {"use_flow_sigmas", "false"},        {"flow_shift", "1.0"},        {"lambda_min_clipped", "null"},
    {"sigma_schedule", "\"karras\""}};

}  // namespace

extern const Sampler kDpmSolverPp2m;
const Sampler kDpmSolverPp2m = {
    .name = "dpm++2m",
    .summary = "second order, one network call a step (Lu et al. 2022)",
    .usual_steps = 25,
    .grid = GridKind::AboveSmallest,
    .clips = false,
    .thresholds = true,
    .divides_alpha = true,
    .truncates_times = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFixed,
    .class_defaults = linspace_by_default,
    .table = multistep,
};

}  // namespace ito
