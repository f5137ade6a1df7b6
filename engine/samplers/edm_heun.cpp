// SPDX-License-Identifier: Apache-2.0
// The sampler of Karras et al. 2022, algorithm 2: Heun's rule with churn on their grid, rho 7, from s_max z down to
// clean data. n steps are 2n - 1 network calls. It is written in s = sigma / alpha, so a variance-preserving model is
// sampled by it as well, between its own first and last level unless told otherwise.
#include "engine/samplers/heun.h"

namespace ito {
namespace {

ReverseTable edm_heun(const SamplingProblem& p) {
  return heun_table(p, p.node(0).s());
}

constexpr SamplerOption kOptions[] = {kSigmaMinOption, kSigmaMaxOption, kChurnOption,
                                      kChurnMinOption, kChurnMaxOption, kNoiseScaleOption};

}  // namespace

extern const Sampler kEdmHeun;
const Sampler kEdmHeun = {
    .name = "edm-heun",
    .summary = "heun on Karras' levels, with churn, two network calls a step (Karras et al. 2022)",
    .usual_steps = 18,
    .grid = GridKind::Karras,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = edm_heun,
};

}  // namespace ito
