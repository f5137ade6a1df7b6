// SPDX-License-Identifier: Apache-2.0
// DPM-Solver++(1S) (Lu et al. 2022b): one step of the exponential integrator from each level to the next. In x it is
// DDIM with eta 0, on another grid, and dpm++2m's first order.
#include "engine/samplers/dpm_singlestep.h"

namespace ito {
namespace {

ReverseTable dpmpp_1s(const SamplingProblem& p) {
  const std::vector<int> orders = singlestep_orders(p.steps(), 1, false, p.nodes.back().sigma == 0);
  return dpm_singlestep_table(p, {.solver = {.order = 1}, .orders = orders});
}

constexpr SamplerOption kOptions[] = {kFinalSigmasOption, kKarrasOption};

}  // namespace

extern const Sampler kDpmPp1s;
const Sampler kDpmPp1s = {
    .name = "dpm++1s",
    .summary = "first order, one network call a step (Lu et al. 2022)",
    .usual_steps = 50,
    .grid = GridKind::AboveSmallest,
    .clips = false,
    .thresholds = true,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = dpmpp_1s,
};

}  // namespace ito
