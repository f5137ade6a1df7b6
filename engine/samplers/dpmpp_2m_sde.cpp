// SPDX-License-Identifier: Apache-2.0
// DPM-Solver++(2M) for the reverse SDE (Lu et al. 2022b, appendix C): the process of ddpm in larger steps.
#include "engine/samplers/dpm_solver.h"

namespace ito {
namespace {

ReverseTable dpmpp_2m_sde(const SamplingProblem& p) {
  return dpm_solver_table(p, {.sde = true, .lower_at_end = p.flag(kLowerOrderFinalOption.key)});
}

constexpr SamplerOption kOptions[] = {kLowerOrderFinalOption, kFinalSigmasOption, kKarrasOption};

}  // namespace

extern const Sampler kDpmPp2mSde;
const Sampler kDpmPp2mSde = {
    .name = "dpm++2m-sde",
    .summary = "second order with the reverse SDE's noise, one network call a step (Lu et al. 2022)",
    .usual_steps = 50,
    .grid = GridKind::AboveSmallest,
    .clips = false,
    .thresholds = true,
    .divides_alpha = true,
    .truncates_times = true,
    .options = kOptions,
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = dpmpp_2m_sde,
};

}  // namespace ito
