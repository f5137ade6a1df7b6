// SPDX-License-Identifier: Apache-2.0
// DPM-Solver++(3M), with the whole second derivative where published code has half of it: third order in truth.
#include "engine/samplers/dpm_solver.h"

namespace ito {
namespace {

constexpr SamplerOption kPublished = flag_option(kPublishedKey, false, kPublishedHelp);

ReverseTable dpmpp_3m(const SamplingProblem& p) {
  return dpm_solver_table(p, {.order = 3,
                              .lower_at_end = p.flag(kLowerOrderFinalOption.key),
                              .curvature = p.flag(kPublished.key) ? 1.0 : 2.0});
}

constexpr SamplerOption kOptions[] = {kPublished, kLowerOrderFinalOption, kFinalSigmasOption, kKarrasOption};

}  // namespace

extern const Sampler kDpmPp3m;
const Sampler kDpmPp3m = {
    .name = "dpm++3m",
    .summary = "third order, one network call a step (Lu et al. 2022)",
    .usual_steps = 25,
    .grid = GridKind::AboveSmallest,
    .clips = false,
    .thresholds = true,
    .divides_alpha = true,
    .truncates_times = true,
    .options = kOptions,
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = dpmpp_3m,
};

}  // namespace ito
