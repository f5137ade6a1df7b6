// SPDX-License-Identifier: Apache-2.0
// Rectified flow by Euler's rule: x' = x + (u' - u) v, or with stochastic_sampling x' = (1 - u') x0 + u' z, which
// forgets the noise it had.
#include "engine/samplers/flow.h"

namespace ito {
namespace {

constexpr SamplerOption kStochastic = flag_option("stochastic_sampling", false, "new noise at every step");

ReverseTable flow_euler(const SamplingProblem& p) {
  RowBuilder rows = flow_rows(p);
  for (int i = 0; i < p.steps(); ++i) {
    const double u = flow_time(p.node(i)), next = flow_time(p.node(i + 1));
    rows.call(p.node(i)).state();
    if (p.flag(kStochastic.key)) {
      rows.x0(1 - next).noise(next);
    } else {
      rows.x(1);
      add_velocity(rows, next - u);
    }
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kShiftOption, kStochastic};
constexpr const char* kClasses[] = {"FlowMatchEulerDiscreteScheduler"};

}  // namespace

extern const Sampler kFlowEuler;
const Sampler kFlowEuler = {
    .name = "flow-euler",
    .summary = "rectified flow, first order (Liu et al. 2023)",
    .usual_steps = 50,
    .grid = GridKind::Flow,
    .clips = false,
    .divides_alpha = false,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFlowArguments,
    .class_defaults = flow_defaults,
    .table = flow_euler,
};

}  // namespace ito
