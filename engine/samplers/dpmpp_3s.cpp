// SPDX-License-Identifier: Apache-2.0
// DPM-Solver++(3S): the third order of dpm++2s, with both differences of its estimates, which is of third order
// wherever the levels of a block lie.
#include "engine/samplers/dpm_singlestep.h"

namespace ito {
namespace {

ReverseTable dpmpp_3s(const SamplingProblem& p) {
  const std::vector<int> orders =
      singlestep_orders(p.steps(), 3, p.flag(kShortBlocksOption.key), p.nodes.back().sigma == 0);
  return dpm_singlestep_table(p, {.solver = {.order = 3}, .orders = orders, .second_difference = true});
}

constexpr SamplerOption kOptions[] = {kShortBlocksOption, kFinalSigmasOption, kKarrasOption};

}  // namespace

extern const Sampler kDpmPp3s;
const Sampler kDpmPp3s = {
    .name = "dpm++3s",
    .summary = "third order in blocks of three network calls (Lu et al. 2022)",
    .usual_steps = 24,
    .grid = GridKind::AboveSmallest,
    .clips = false,
    .thresholds = true,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = dpmpp_3s,
};

}  // namespace ito
