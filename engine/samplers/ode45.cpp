// SPDX-License-Identifier: Apache-2.0
// The probability flow by an embedded Runge-Kutta pair of orders 5 and 4 that chooses its own steps (Song et al. 2021,
// section 4.3). It has no table of rows: how often the network is called, and where, is known when it has been.
#include "engine/samplers/score_sde.h"

namespace ito {
namespace {

constexpr SamplerOption kRelative = {"rtol", 1e-5, 1e-7, 1, "error a step may make, of the state's size"};
constexpr SamplerOption kAbsolute = {"atol", 1e-5, 1e-9, 1, "and besides"};

AdaptivePlan ode45(const SamplingProblem& p) {
  return {.flow = probability_flow(p.levels, p.reading, p.nodes.front(), p.node(p.steps() - 1)),
          .rtol = p.option(kRelative.key),
          .atol = p.option(kAbsolute.key),
          .ends_clean = p.option(kFinalSigmasOption.key) == 0};
}

constexpr SamplerOption kOptions[] = {kRelative, kAbsolute, kSamplingEpsOption, kFinalSigmasOption};

}  // namespace

extern const Sampler kOde45;
const Sampler kOde45 = {
    .name = "ode45",
    .summary = "the probability flow by Dormand and Prince's pair, with steps as long as the tolerance allows",
    .usual_steps = 2,  // the ends of the grid
    .grid = GridKind::Continuous,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = nullptr,
    .adaptive = ode45,
};

}  // namespace ito
