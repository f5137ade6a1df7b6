// SPDX-License-Identifier: Apache-2.0
// UniPC (Zhao et al. 2023): a multistep predictor in lambda = ln(alpha / sigma), and a corrector that costs no call:
// the estimate m_new at the predicted state improves the step that led there, and the next begins at the corrected
// state x_c. With m the x0 estimate (zeta = -h, base = sigma'/sigma x - alpha' E(-h) m_0, f = alpha') or eps (zeta = h,
// base = alpha'/alpha x - sigma' E(h) m_0, f = sigma'), E(u) = e^u - 1, B = zeta (bh1) or E(zeta) (bh2),
// r_i = (lambda_-i - lambda_0) / h and r_p = 1:
//   predictor  x'  = base - f B sum_{i<p} rho_i (m_-i - m_0) / r_i,
//   corrector  x_c = base - f B (sum_{i<p} rho_i (m_-i - m_0) / r_i + rho_p (m_new - m_0)),
// rho from sum_i r_i^(k-1) rho_i = k! zeta phi_{k+1}(zeta) / B, k = 1..p-1 or p, but 1/2 for one unknown of order 1
// or 2. Both are linear in what was known before, so corrector and next predictor are one row. The network is not
// called again at x_c, as published.
#include <algorithm>
#include <cmath>

#include "engine/samplers/sampler.h"

namespace ito {
namespace {

constexpr int kMostOrder = 3;
constexpr const char* kOrders[] = {"1", "2", "3"};
constexpr SamplerOption kOrder = {"solver_order", 1, 0, 2, "calls that a step is made from, its own among them",
                                  kOrders};
constexpr const char* kTypes[] = {"bh1", "bh2"};
constexpr SamplerOption kType = {"solver_type", 1, 0, 1, "the paper's B(h)", kTypes};
constexpr SamplerOption kPredictX0 = flag_option("predict_x0", true, "integrates the x0 estimate, not eps");
constexpr SamplerOption kLowerOrderFinal =
    flag_option("lower_order_final", true, "steps of lower order towards the end");

// A state as weights of what a row knows: the state that the last step began at, this row's estimate and those before.
struct Combination {
  double start = 0, newest = 0;
  double past[kMostOrder] = {};  // newest first
};

// The first `unknowns` of rho: the rows of the system are eliminated as they come, which its nodes allow.
std::vector<double> solve(std::vector<std::vector<double>> matrix, std::vector<double> right) {
  const size_t n = right.size();
  for (size_t k = 0; k < n; ++k)
    for (size_t row = k + 1; row < n; ++row) {
      const double factor = matrix[row][k] / matrix[k][k];
      for (size_t i = k; i < n; ++i) matrix[row][i] -= factor * matrix[k][i];
      right[row] -= factor * right[k];
    }
  for (size_t k = n; k-- > 0;) {
    for (size_t i = k + 1; i < n; ++i) right[k] -= matrix[k][i] * right[i];
    right[k] /= matrix[k][k];
  }
  return right;
}

// One step from one level to the next, of either kind.
struct UniPCMove {
  double of_x, of_m0;       // base
  double scale;             // f B
  std::vector<double> rho;  // of the differences with m_-1, m_-2, ..., and, of a corrector, with m_new behind them
  std::vector<double> r;    // of the former
};

// before: lambdas of m_-1, m_-2, ...; p - 1 of them are used.
UniPCMove move_of(const SamplingProblem& problem, const Level& from, const Level& to, const std::vector<double>& before,
                  int p, bool corrector) {
  const bool of_x0 = problem.flag(kPredictX0.key);
  const double h = to.lambda() - from.lambda(), zeta = of_x0 ? -h : h, e = std::expm1(zeta);
  const double b = problem.option(kType.key) == 0 ? zeta : e;
  UniPCMove move;
  move.of_x = of_x0 ? to.sigma / from.sigma : to.alpha / from.alpha;
  move.of_m0 = -(of_x0 ? to.alpha : to.sigma) * e;
  move.scale = (of_x0 ? to.alpha : to.sigma) * b;
  for (int i = 0; i + 1 < p; ++i) move.r.push_back((before[static_cast<size_t>(i)] - from.lambda()) / h);
  std::vector<double> nodes = move.r;
  if (corrector) nodes.push_back(1);
  const size_t unknowns = nodes.size();
  if (unknowns == 1 && (corrector || p == 2)) {
    move.rho = {0.5};
    return move;
  }
  std::vector<std::vector<double>> matrix;
  std::vector<double> right;
  double phi = e / zeta, factorial = 1;  // phi_1, 0!
  for (size_t k = 1; k <= unknowns; ++k) {
    factorial *= static_cast<double>(k);
    phi = (phi - 1 / factorial) / zeta;  // phi_{k+1}
    right.push_back(factorial * zeta * phi / b);
    matrix.emplace_back();
    for (const double node : nodes) matrix.back().push_back(std::pow(node, static_cast<double>(k - 1)));
  }
  if (unknowns) move.rho = solve(matrix, right);
  return move;
}

// The state that the move leads to from `start`; known: m_0, m_-1, ... as combinations; arrived: m_new, of a corrector.
Combination apply(const UniPCMove& move, const Combination& start, const std::vector<Combination>& known,
                  const Combination* arrived) {
  Combination to;
  const auto add = [&](double weight, const Combination& what) {
    to.start += weight * what.start;
    to.newest += weight * what.newest;
    for (int age = 0; age < kMostOrder; ++age) to.past[age] += weight * what.past[age];
  };
  add(move.of_x, start);
  add(move.of_m0, known[0]);
  for (size_t i = 0; i < move.r.size(); ++i) {
    add(-move.scale * move.rho[i] / move.r[i], known[i + 1]);
    add(move.scale * move.rho[i] / move.r[i], known[0]);
  }
  if (arrived) {
    add(-move.scale * move.rho.back(), *arrived);
    add(move.scale * move.rho.back(), known[0]);
  }
  return to;
}

ReverseTable unipc(const SamplingProblem& p) {
  const bool of_x0 = p.flag(kPredictX0.key);
  ITO_USER_CHECK(of_x0 || p.nodes.back().sigma > 0, "sampler ", p.sampler.name,
                 ": predict_x0 false cannot end at clean data; set final_sigmas_type to sigma_min");
  RowBuilder rows(p.reading, Space::Vp, p.clip);
  const Register start = rows.reserve();
  History<kMostOrder> past(rows);
  std::vector<double> lambdas;  // of the estimates kept, newest first
  Level last{};                 // where the last step began
  int last_order = 0;           // of its predictor; 0: there was none, or it had no length
  const Combination newest{.start = 0, .newest = 1, .past = {}};
  const auto kept = [](int age) {
    Combination one;
    one.past[age] = 1;
    return one;
  };
  for (int i = 0; i < p.steps(); ++i) {
    const Level &from = p.node(i), &to = p.node(i + 1);
    rows.call(from);
    if (!of_x0 && p.clip.any()) rows.eps_from_clipped_x0();
    // The state here, corrected: of the step's start and the estimates, or as it is.
    Combination here{.start = 1, .newest = 0, .past = {}};
    if (last_order > 0) {
      const std::vector<double> before(lambdas.begin() + 1, lambdas.end());
      here = apply(move_of(p, last, from, before, last_order, true), here, {kept(0), kept(1), kept(2)}, &newest);
    }
    const auto write = [&](const Combination& c) {
      last_order > 0 ? rows.reg(start, c.start) : rows.x(c.start);
      of_x0 ? rows.x0(c.newest) : rows.eps(c.newest);
      for (int age = 0; age < past.size(); ++age) rows.reg(past[age + 1], c.past[age]);
    };
    const double h = to.sigma == 0 ? 1 : to.lambda() - from.lambda();
    if (to.sigma == 0) {
      rows.state().x0(1);
      continue;
    }
    if (std::fabs(h) < kNoStep) {
      rows.state();
      write(here);
      last_order = 0;
      continue;
    }
    int order = std::min(1 + static_cast<int>(p.option(kOrder.key)), 1 + past.size());
    if (p.flag(kLowerOrderFinal.key)) order = std::min(order, p.steps() - i);
    const Combination next =
        apply(move_of(p, from, to, lambdas, order, false), here, {newest, kept(0), kept(1)}, nullptr);
    rows.state();
    write(next);
    rows.set(start);
    write(here);
    of_x0 ? past.keep_x0() : past.keep_eps();
    lambdas.insert(lambdas.begin(), from.lambda());
    lambdas.resize(std::min<size_t>(lambdas.size(), kMostOrder));
    last = from;
    last_order = order;
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kOrder, kType, kPredictX0, kLowerOrderFinal, kFinalSigmasOption, kKarrasOption};
constexpr const char* kClasses[] = {"UniPCMultistepScheduler"};
constexpr FixedArgument kFixed[] = {{"use_exponential_sigmas", "false"}, {"use_beta_sigmas", "false"},
                                    {"use_flow_sigmas", "false"},        {"flow_shift", "1.0"},
                                    {"disable_corrector", "[]"},         {"solver_p", "null"}};

}  // namespace

extern const Sampler kUniPc;
const Sampler kUniPc = {
    .name = "unipc",
    .summary = "predictor and corrector, one network call a step (Zhao et al. 2023)",
    .usual_steps = 20,
    .grid = GridKind::AboveSmallest,
    .clips = false,
    .thresholds = true,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFixed,
    .class_defaults = linspace_by_default,
    .table = unipc,
};

}  // namespace ito
