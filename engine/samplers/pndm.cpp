// SPDX-License-Identifier: Apache-2.0
// PNDM (Liu et al. 2022): classical rules for ordinary differential equations whose steps are DDIM's (eta 0),
// move(x, a -> b, e). With tau_0 > tau_1 > .. the timesteps, H = floor(T / n) and half = floor(H / 2):
//   Runge and Kutta's rule, from a = tau_k to tau_{k+1}, k = 0, 1, 2, with mid = tau_{k+1} + half:
//     k1 at (x, a), k2 at (move(x, a -> a - half, k1), mid), k3 at (move(x, a -> mid, k2), mid),
//     k4 at (move(x, a -> mid - half, k3), tau_{k+1}), x' = move(x, a -> tau_{k+1}, (k1 + 2 k2 + 2 k3 + k4) / 6),
//   then Adams and Bashforth's of fourth order, move(t -> t - H), over k1 of those steps and the calls since.
// skip_prk_steps: one step of the improved Euler rule in place of the first three, and orders that grow from 2. Calls:
// n + 9 of 4 steps or more, or n + 1. The whole is of second order, for steps that are even in t are not even in s. As
// in diffusers, answers are combined as they are and read where the move begins, which is of first order for a v
// (published), and the last step ends at abar_0 unless set_alpha_to_one.
#include <algorithm>

#include "engine/samplers/lagrange.h"
#include "engine/samplers/sampler.h"

namespace ito {
namespace {

constexpr SamplerOption kSkipStart =
    flag_option("skip_prk_steps", false, "begins with one more network call, not nine (Runge and Kutta's rule)");

constexpr SamplerOption kPublished =
    flag_option("published", true, "answers are combined before they are read, of first order unless they are eps");

struct Move {
  double of_x, of_answer;
};

ReverseTable pndm(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Vp);
  History<3> past(rows);
  const Register start = rows.reserve();
  // What is combined: answers as they are, or each read as eps at its own call.
  const bool raw = p.flag(kPublished.key);
  const auto answer = [&](double weight) { raw ? rows.pred(weight) : rows.eps(weight); };
  const auto keep = [&] { raw ? past.keep_pred() : past.keep_eps(); };
  const auto level = [&](double t) { return p.levels.at(t >= 0 ? t : p.config.set_alpha_to_one ? -1 : 0); };
  const auto move = [&](double t, double to) -> Move {
    const Level a = level(t), b = level(to);
    const double growth = b.alpha / a.alpha;
    if (!raw) return {growth, b.sigma - growth * a.sigma};
    const CallAt read = p.reading.call(a);
    return {b.alpha * read.x0.from_x + b.sigma * read.eps.from_x,
            b.alpha * read.x0.from_given + b.sigma * read.eps.from_given};
  };
  const int n = p.steps(), stride = p.levels.steps() / n, half = stride / 2;
  const auto tau = [&](int i) { return p.node(i).time; };

  const auto from_here = [&](const Move& m, double share) {
    rows.state().x(m.of_x);
    answer(share * m.of_answer);
  };
  const auto from_start = [&](const Move& m, double share) {
    rows.state().reg(start, m.of_x);
    answer(share * m.of_answer);
  };

  int i = 0;  // the node of the next step
  if (!p.flag(kSkipStart.key)) {
    const Register k2 = rows.reserve(), k3 = rows.reserve();
    for (; i < std::min(3, n - 1); ++i) {
      const double a = tau(i), next = tau(i + 1), mid = next + half;
      rows.call(p.node(i)).set(start).x(1);
      from_here(move(a, a - half), 1);
      keep();
      rows.call(level(mid)).set(k2);
      answer(1);
      from_start(move(a, mid), 1);
      rows.call(level(mid)).set(k3);
      answer(1);
      from_start(move(a, mid - half), 1);
      const Move whole = move(a, next);
      rows.call(p.node(i + 1));
      from_start(whole, 1.0 / 6);
      rows.reg(past[1], whole.of_answer / 6).reg(k2, whole.of_answer / 3).reg(k3, whole.of_answer / 3);
    }
  } else if (n > 1) {
    rows.call(p.node(0)).set(start).x(1);
    from_here(move(tau(0), tau(0) - stride), 1);
    keep();
    const Move again = move(tau(1) + stride, tau(1));
    rows.call(p.node(1));
    from_start(again, 0.5);
    rows.reg(past[1], again.of_answer / 2);
    i = 1;
  }
  for (; i < n; ++i) {
    std::vector<double> times{0};  // of the answers, in steps
    for (int age = 1; age <= past.size(); ++age) times.push_back(-age);
    const std::vector<double> c = integrated_polynomials(times, 1);
    const Move m = move(tau(i), tau(i) - stride);
    rows.call(p.node(i));
    from_here(m, c[0]);
    for (int age = 1; age <= past.size(); ++age) rows.reg(past[age], m.of_answer * c[static_cast<size_t>(age)]);
    keep();
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kSkipStart, kPublished};
constexpr const char* kClasses[] = {"PNDMScheduler"};

void pndm_defaults(SchedulerConfig& config) {
  config.set_alpha_to_one = false;
}

}  // namespace

extern const Sampler kPndm;
const Sampler kPndm = {
    .name = "pndm",
    .summary = "multistep with DDIM's steps, Runge and Kutta's at first (Liu et al. 2022)",
    .usual_steps = 50,
    .grid = GridKind::Whole,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = {},
    .class_defaults = pndm_defaults,
    .table = pndm,
};

}  // namespace ito
