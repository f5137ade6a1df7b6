// SPDX-License-Identifier: Apache-2.0
// Rectified flow by Heun's rule, two network calls a step and one in the last:
//   w = x + h v(x, u),  x' = x + h/2 (v(x, u) + v(w, u')),  h = u' - u.
#include "engine/samplers/flow.h"

namespace ito {
namespace {

ReverseTable flow_heun(const SamplingProblem& p) {
  RowBuilder rows = flow_rows(p);
  const Register start = rows.reserve(), velocity = rows.reserve();
  for (int i = 0; i < p.steps(); ++i) {
    const Level &from = p.node(i), &to = p.node(i + 1);
    const double h = flow_time(to) - flow_time(from);
    rows.call(from);
    if (to.sigma > 0) {
      rows.set(start).x(1).set(velocity);
      add_velocity(rows, 1);
    }
    rows.state().x(1);
    add_velocity(rows, h);
    if (to.sigma == 0) continue;
    rows.call(to).state().reg(start, 1).reg(velocity, h / 2);
    add_velocity(rows, h / 2);
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kShiftOption};
constexpr const char* kClasses[] = {"FlowMatchHeunDiscreteScheduler"};

}  // namespace

extern const Sampler kFlowHeun;
const Sampler kFlowHeun = {
    .name = "flow-heun",
    .summary = "rectified flow, second order, two network calls a step",
    .usual_steps = 50,
    .grid = GridKind::Flow,
    .clips = false,
    .divides_alpha = false,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFlowArguments,
    .class_defaults = flow_defaults,
    .table = flow_heun,
};

}  // namespace ito
