// SPDX-License-Identifier: Apache-2.0
// DEIS (Zhang and Chen 2023), the variant that joins eps by a polynomial in ln s, s = sigma / alpha, over the last
// calls and integrates it along s exactly:
//   x' / alpha' = x / alpha + sum_i c_i eps_-i,  c_i = int_s^s' l_i(ln r) dr,
// l_i the Lagrange polynomials through ln s of those calls. One network call a step. As in diffusers, a run ends at the
// first timestep and not at clean data, and its last steps are of lower order in runs of fewer than 15.
#include <algorithm>
#include <cmath>

#include "engine/samplers/lagrange.h"
#include "engine/samplers/sampler.h"

namespace ito {
namespace {

constexpr const char* kOrders[] = {"1", "2", "3"};
constexpr SamplerOption kOrder = {"solver_order", 1, 0, 2, "calls that a step is made from, its own among them",
                                  kOrders};

// int (ln r)^k dr, k = 0, 1, 2.
double integral_of_power(int k, double r) {
  const double u = std::log(r);
  return k == 0 ? r : k == 1 ? r * (u - 1) : r * (u * u - 2 * u + 2);
}

// Of each eps, newest first. nodes: ln s of their calls.
std::vector<double> weights(const std::vector<double>& nodes, double from, double to) {
  std::vector<double> all;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const std::vector<double> polynomial = lagrange_polynomial(nodes, i);
    double integral = 0;
    for (size_t k = 0; k < polynomial.size(); ++k)
      integral +=
          polynomial[k] * (integral_of_power(static_cast<int>(k), to) - integral_of_power(static_cast<int>(k), from));
    all.push_back(integral);
  }
  return all;
}

ReverseTable deis(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Vp, p.clip);
  History<2> past(rows);
  std::vector<double> before;  // ln s of the estimates kept, newest first
  const bool short_run = p.flag(kLowerOrderFinalOption.key) && p.steps() < kShortRun;
  // Karras' levels end at the schedule's first timestep themselves: their last step has no length, as in diffusers.
  const Level end = p.flag(kKarrasOption.key) ? p.node(p.steps() - 1) : p.levels.at(0);
  for (int i = 0; i < p.steps(); ++i) {
    const Level &from = p.node(i), &to = i + 1 < p.steps() ? p.node(i + 1) : end;
    rows.call(from);
    if (p.clip.any()) rows.eps_from_clipped_x0();
    // Grids of many steps may hold a level twice: nothing to do there, and nothing to learn from the step.
    if (to.s() == from.s()) {
      rows.state().x(1);
      continue;
    }
    int order = std::min(1 + static_cast<int>(p.option(kOrder.key)), 1 + past.size());
    if (short_run) order = std::min(order, p.steps() - i);
    std::vector<double> nodes{std::log(from.s())};
    nodes.insert(nodes.end(), before.begin(), before.begin() + order - 1);
    const std::vector<double> c = weights(nodes, from.s(), to.s());
    rows.state().x(to.alpha / from.alpha).eps(to.alpha * c[0]);
    for (size_t age = 1; age < c.size(); ++age) rows.reg(past[static_cast<int>(age)], to.alpha * c[age]);
    past.keep_eps();
    before.insert(before.begin(), nodes[0]);
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kOrder, kLowerOrderFinalOption, kKarrasOption};
constexpr const char* kClasses[] = {"DEISMultistepScheduler"};
constexpr FixedArgument kFixed[] = {{"algorithm_type", "\"deis\""},      {"solver_type", "\"logrho\""},
                                    {"use_exponential_sigmas", "false"}, {"use_beta_sigmas", "false"},
                                    {"use_flow_sigmas", "false"},        {"flow_shift", "1.0"}};

}  // namespace

extern const Sampler kDeis;
const Sampler kDeis = {
    .name = "deis",
    .summary = "exponential integrator up to third order, one network call a step (Zhang and Chen 2023)",
    .usual_steps = 25,
    .grid = GridKind::AboveSmallest,
    .clips = false,
    .thresholds = true,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFixed,
    .class_defaults = linspace_by_default,
    .table = deis,
};

}  // namespace ito
