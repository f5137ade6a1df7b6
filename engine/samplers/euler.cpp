// SPDX-License-Identifier: Apache-2.0
// Euler's rule for the probability flow in y = x / alpha, s = sigma / alpha (Karras et al. 2022, eq. 4 with dy/ds =
// eps):
//   y' = y + (s' - s) eps(y, s).
// In x that is DDIM with eta 0, on another grid. A run begins at s_max z, or sqrt(s_max^2 + 1) z where the spacing is
// leading, as in diffusers. Its churn is Karras', with the call at the noisier state; diffusers' class adds that noise
// after the call.
#include "engine/samplers/churn.h"

namespace ito {
namespace {

ReverseTable euler(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Sigma, p.clip);
  rows.start_at(p.sigma_space_start());
  const Churn churn(p);
  churn.open(rows);
  for (int i = 0; i < p.steps(); ++i) {
    const Level from = churn.start(i);
    rows.call(from).state().x(1).eps(p.node(i + 1).s() - from.s());
    churn.end_step(rows, i);
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kKarrasOption,   kFinalSigmasOption, kChurnOption,
                                      kChurnMinOption, kChurnMaxOption,    kNoiseScaleOption};
constexpr const char* kClasses[] = {"EulerDiscreteScheduler", "EDMEulerScheduler"};
constexpr FixedArgument kFixed[] = {
    {"use_exponential_sigmas", "false"}, {"use_beta_sigmas", "false"}, {"interpolation_type", "\"linear\""},
    {"timestep_type", "\"discrete\""},   {"sigma_min", "null"},        {"sigma_max", "null"},
    {"sigma_schedule", "\"karras\""}};

}  // namespace

extern const Sampler kEuler;
const Sampler kEuler = {
    .name = "euler",
    .summary = "first order along the noise level (Karras et al. 2022)",
    .usual_steps = 50,
    .grid = GridKind::Real,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFixed,
    .class_defaults = linspace_by_default,
    .table = euler,
};

}  // namespace ito
