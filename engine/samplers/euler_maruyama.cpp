// SPDX-License-Identifier: Apache-2.0
// The reverse SDE by the Euler-Maruyama rule, or with flow its probability flow by Euler's (Song et al. 2021, section
// 4; the rules are in score_sde.h).
#include "engine/samplers/score_sde.h"

namespace ito {
namespace {

constexpr SamplerOption kFlow = flag_option("flow", false, "the probability flow: half the score, no noise");

ReverseTable euler_maruyama(const SamplingProblem& p) {
  RowBuilder rows = score_sde_rows(p);
  for (int i = 0; i < p.steps(); ++i) predict(p, rows, i, Predictor::EulerMaruyama, p.flag(kFlow.key));
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kFlow, kSamplingEpsOption};

}  // namespace

extern const Sampler kEulerMaruyama;
const Sampler kEulerMaruyama = {
    .name = "euler-maruyama",
    .summary = "the reverse SDE in small steps (Song et al. 2021)",
    .usual_steps = 1000,
    .grid = GridKind::Continuous,
    .families = kSdeFamilies,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = euler_maruyama,
};

}  // namespace ito
