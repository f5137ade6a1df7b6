// SPDX-License-Identifier: Apache-2.0
// See dpm_singlestep.h. With b the block's start, h = lambda' - lambda_b, m_0 the newest estimate and m_1 the one
// between:
//   r0 = (lambda_0 - lambda_b) / h,  d0 = (m_0 - m_b) / r0,  r1 = (lambda_1 - lambda_b) / h,  d1 = (m_1 - m_b) / r1,
//   order 2: D1 = d0;  order 3: D1 = d0, or D1 = (r0 d1 - r1 d0) / (r0 - r1) and D2 = 2 (d0 - d1) / (r0 - r1),
// and the weights of one step from b (dpm_solver.h).
#include "engine/samplers/dpm_singlestep.h"

#include <algorithm>
#include <cmath>

namespace ito {

std::vector<int> singlestep_orders(int steps, int order, bool shortens, bool ends_clean) {
  std::vector<int> orders;
  const auto add_block = [&](int length) {
    for (int k = 1; k <= length; ++k) orders.push_back(k);
  };
  const int left = steps % order;
  const bool shorter = shortens || left != 0 || ends_clean;
  // Without a remainder a whole block is given up: 3 becomes 2 and 1, and 2 becomes 1 and 1.
  const int whole = steps / order - (shorter && left == 0 ? 1 : 0);
  for (int block = 0; block < whole; ++block) add_block(order);
  if (shorter && left == 0) {
    if (order > 1) add_block(order - 1);
    add_block(1);
  } else if (left > 0) {
    add_block(left);
  }
  if (ends_clean) orders.back() = 1;
  return orders;
}

ReverseTable dpm_singlestep_table(const SamplingProblem& p, const DpmSinglestep& singlestep) {
  const DpmSolver& solver = singlestep.solver;
  const std::vector<int>& orders = singlestep.orders;
  check_dpm_solver(p, solver);
  ITO_CHECK(static_cast<int>(orders.size()) == p.steps(), "singlestep solver: ", orders.size(), " orders of ",
            p.steps(), " steps");
  RowBuilder rows(p.reading, Space::Vp, p.clip);
  const int most = *std::max_element(orders.begin(), orders.end());
  Register start, first, between;
  if (most > 1) start = rows.reserve(), first = rows.reserve();
  if (most > 2) between = rows.reserve();
  const auto newest = [&](double weight) { solver.from_eps ? rows.eps(weight) : rows.x0(weight); };
  for (int i = 0; i < p.steps(); ++i) {
    const int order = orders[static_cast<size_t>(i)];
    const Level &from = p.node(i - order + 1), &to = p.node(i + 1);
    rows.call(p.node(i));
    if (solver.from_eps && p.clip.any()) rows.eps_from_clipped_x0();
    if (i + 1 < p.steps() && orders[static_cast<size_t>(i) + 1] == order + 1) {
      if (order == 1) rows.set(start).x(1);
      rows.set(order == 1 ? first : between);
      newest(1);
    }
    rows.state();
    if (to.sigma == 0) {
      rows.x0(1);
      if (solver.sde) rows.noise(0);
      continue;
    }
    const auto from_start = [&](double weight) { order == 1 ? rows.x(weight) : rows.reg(start, weight); };
    const double h = to.lambda() - from.lambda();
    // Grids of many steps may hold a level twice: a block without length, or estimates between which nothing happens.
    if (std::fabs(h) < kNoStep) {
      from_start(1);
      continue;
    }
    const DpmStep w = dpm_step(solver, from, to, order);
    from_start(w.x);
    const double r0 = (p.node(i).lambda() - from.lambda()) / h;
    const double r1 = order == 3 ? (p.node(i - 1).lambda() - from.lambda()) / h : 0;
    double of_d0 = 0, of_d1 = 0;
    if (order >= 2 && r0 * h >= kNoStep) of_d0 = w.c2 / r0;
    if (order == 3 && singlestep.second_difference && r1 * h >= kNoStep && (r0 - r1) * h >= kNoStep) {
      of_d0 = (2 * w.c3 - w.c2 * r1) / (r0 - r1) / r0;
      of_d1 = (w.c2 * r0 - 2 * w.c3) / (r0 - r1) / r1;
    }
    if (order == 1) {
      newest(w.c1);
    } else {
      newest(of_d0);
      rows.reg(first, w.c1 - of_d0 - of_d1);
      if (of_d1 != 0) rows.reg(between, of_d1);
    }
    if (solver.sde) rows.noise(w.noise);
  }
  return rows.table();
}

}  // namespace ito
