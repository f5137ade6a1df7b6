// SPDX-License-Identifier: Apache-2.0
// Euler's rule for the probability flow in y = x / alpha, s = sigma / alpha (Karras et al. 2022, eq. 4 with dy/ds =
// eps):
//   y' = y + (s' - s) eps(y, s).
// In x that is DDIM with eta 0, on another grid. A run begins at s_max z, or sqrt(s_max^2 + 1) z where the spacing is
// leading, as in diffusers, whose noise after the call (s_churn) is not Karras' and is not done.
#include "engine/samplers/sampler.h"

namespace ito {
namespace {

ReverseTable euler(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Sigma, p.clip);
  rows.start_at(p.sigma_space_start());
  for (int i = 0; i < p.steps(); ++i) rows.call(p.node(i)).state().x(1).eps(p.node(i + 1).s() - p.node(i).s());
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kKarrasOption, kFinalSigmasOption};
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
