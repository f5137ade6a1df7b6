// SPDX-License-Identifier: Apache-2.0
// See dpm_solver.h. With h = lambda' - lambda, E(u) = e^u - 1, m_0 the newest estimate and m_-1, m_-2 those before:
//   r0 = (lambda_0 - lambda_-1) / h,  r1 = (lambda_-1 - lambda_-2) / h,  d0 = (m_0 - m_-1) / r0,  d1 = (m_-1 - m_-2) /
//   r1, order 2: D1 = d0;  order 3: D1 = d0 + r0 / (r0 + r1) (d0 - d1),  D2 = curvature (d0 - d1) / (r0 + r1), x' =
//   (coefficient of x) x + c1 m_0 + c2 D1 + c3 D2 + noise z.
// diffusers' third-order SDE has the opposite sign in front of the 1/2 of c3, which then does not vanish with h; the
// sign here is that of the expansion.
#include "engine/samplers/dpm_solver.h"

#include <algorithm>
#include <cmath>
#include <deque>

namespace ito {
namespace {

DpmStep weights_of_x0(const DpmSolver& solver, const Level& from, const Level& to, int order) {
  const double h = to.lambda() - from.lambda();
  const bool midpoint = solver.midpoint && order == 2;
  if (!solver.sde) {
    const double shrink = std::expm1(-h);
    return {.x = to.sigma / from.sigma,
            .c1 = -to.alpha * shrink,
            .c2 = midpoint ? -to.alpha * shrink / 2 : to.alpha * (shrink / h + 1),
            .c3 = -to.alpha * ((shrink + h) / (h * h) - 0.5),
            .noise = 0};
  }
  const double gone = -std::expm1(-2 * h), phi = 1 - gone / (2 * h);
  return {.x = to.sigma / from.sigma * std::exp(-h),
          .c1 = to.alpha * gone,
          .c2 = midpoint ? to.alpha * gone / 2 : to.alpha * phi,
          .c3 = -to.alpha * (phi / (2 * h) - 0.5),
          .noise = to.sigma * std::sqrt(gone)};
}

DpmStep weights_of_eps(const DpmSolver& solver, const Level& from, const Level& to, int order) {
  const double h = to.lambda() - from.lambda();
  const bool midpoint = solver.midpoint && order == 2;
  const double growth = std::expm1(h), twice = solver.sde ? 2 : 1;
  return {.x = to.alpha / from.alpha,
          .c1 = -twice * to.sigma * growth,
          .c2 = -twice * to.sigma * (midpoint ? growth / 2 : growth / h - 1),
          .c3 = -to.sigma * ((growth - h) / (h * h) - 0.5),
          .noise = solver.sde ? to.sigma * std::sqrt(std::expm1(2 * h)) : 0};
}

int order_of_step(const DpmSolver& solver, int step, int steps, int known) {
  const bool lower = solver.lower_at_end && steps < kShortRun;
  int order = std::min(solver.order, known);
  if (step + 1 == steps && (solver.first_at_end || lower)) order = 1;
  if (step + 2 == steps && lower) order = std::min(order, 2);
  return order;
}

// kept: estimates of earlier calls that the order may need.
template <int kept>
ReverseTable table_of(const SamplingProblem& p, const DpmSolver& solver) {
  RowBuilder rows(p.reading, Space::Vp, p.clip);
  History<kept> past(rows);
  std::deque<double> lambdas;  // of the estimates kept, newest first
  for (int i = 0; i < p.steps(); ++i) {
    const Level &from = p.node(i), &to = p.node(i + 1);
    rows.call(from);
    if (solver.from_eps && p.clip.any()) rows.eps_from_clipped_x0();
    if (to.sigma == 0) {
      rows.state().x0(1);
      if (solver.sde) rows.noise(0);
      continue;
    }
    const double h = to.lambda() - from.lambda();
    // Grids of many steps may hold a level twice, and Karras' end at the first timestep: nothing to do there, and
    // nothing to learn from the step before.
    if (std::fabs(h) < kNoStep) {
      rows.state().x(1);
      continue;
    }
    const int order = order_of_step(solver, i, p.steps(), 1 + past.size());
    const DpmStep w = dpm_step(solver, from, to, order);
    rows.state().x(w.x);
    const auto newest = [&](double weight) { solver.from_eps ? rows.eps(weight) : rows.x0(weight); };
    newest(w.c1);
    if (order >= 2) {
      const double r0 = (from.lambda() - lambdas[0]) / h, r1 = order == 3 ? (lambdas[0] - lambdas[1]) / h : 1;
      const double share = order == 3 ? r0 / (r0 + r1) : 0;
      const double bend = order == 3 ? w.c3 * solver.curvature / (r0 + r1) : 0;
      const double of_d0 = w.c2 * (1 + share) + bend, of_d1 = -w.c2 * share - bend;
      newest(of_d0 / r0);
      rows.reg(past[1], -of_d0 / r0 + of_d1 / r1);
      if (order == 3) rows.reg(past[2], -of_d1 / r1);
    }
    if (solver.sde) rows.noise(w.noise);
    solver.from_eps ? past.keep_eps() : past.keep_x0();
    lambdas.push_front(from.lambda());
  }
  return rows.table();
}

}  // namespace

DpmStep dpm_step(const DpmSolver& solver, const Level& from, const Level& to, int order) {
  return solver.from_eps ? weights_of_eps(solver, from, to, order) : weights_of_x0(solver, from, to, order);
}

void check_dpm_solver(const SamplingProblem& p, const DpmSolver& solver) {
  ITO_USER_CHECK(!solver.from_eps || p.nodes.back().sigma > 0, "sampler ", p.sampler.name,
                 ": dpmsolver cannot end at clean data; set final_sigmas_type to sigma_min, or take dpmsolver++");
  ITO_USER_CHECK(!solver.from_eps || !solver.sde || solver.order < 3, "sampler ", p.sampler.name,
                 ": sde-dpmsolver has no third order; set solver_order to 1 or 2, or take sde-dpmsolver++");
}

ReverseTable dpm_solver_table(const SamplingProblem& p, const DpmSolver& solver) {
  check_dpm_solver(p, solver);
  return solver.order == 3 ? table_of<2>(p, solver) : table_of<1>(p, solver);
}

}  // namespace ito
