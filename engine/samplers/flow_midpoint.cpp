// SPDX-License-Identifier: Apache-2.0
// Rectified flow by the midpoint rule, two network calls a step:
//   x' = x + h v(x + h/2 v(x, u), u + h/2),  h = u' - u.
#include "engine/samplers/flow.h"

namespace ito {
namespace {

ReverseTable flow_midpoint(const SamplingProblem& p) {
  RowBuilder rows = flow_rows(p);
  const Register start = rows.reserve();
  for (int i = 0; i < p.steps(); ++i) {
    const double u = flow_time(p.node(i)), h = flow_time(p.node(i + 1)) - u;
    rows.call(p.node(i)).set(start).x(1).state().x(1);
    add_velocity(rows, h / 2);
    rows.call(flow_level(p, u + h / 2)).state().reg(start, 1);
    add_velocity(rows, h);
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kShiftOption};

}  // namespace

extern const Sampler kFlowMidpoint;
const Sampler kFlowMidpoint = {
    .name = "flow-midpoint",
    .summary = "rectified flow by the midpoint rule, two network calls a step",
    .usual_steps = 50,
    .grid = GridKind::Flow,
    .clips = false,
    .divides_alpha = false,
    .options = kOptions,
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = flow_midpoint,
};

}  // namespace ito
