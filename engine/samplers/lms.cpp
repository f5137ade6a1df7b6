// SPDX-License-Identifier: Apache-2.0
// The linear multistep method for the probability flow in y = x / alpha, s = sigma / alpha: the slopes eps of the last
// calls are joined by a polynomial in s, which is integrated over the step exactly (Adams-Bashforth for uneven steps):
//   y' = y + sum_i c_i eps_-i,  c_i = int_s^s' prod_{m != i} (u - s_-m) / (s_-i - s_-m) du.
// One network call a step; the order grows from 1 to `order` with the slopes there are.
#include <algorithm>
#include <cmath>

#include "engine/samplers/lagrange.h"
#include "engine/samplers/sampler.h"

namespace ito {
namespace {

constexpr const char* kOrders[] = {"1", "2", "3", "4"};
constexpr SamplerOption kOrder = {"order", 3, 0, 3, "slopes that a step is made from, its own among them", kOrders};

ReverseTable lms(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Sigma, p.clip);
  rows.start_at(p.sigma_space_start());
  History<3> past(rows);
  const int most = 1 + static_cast<int>(p.option(kOrder.key));
  for (int i = 0; i < p.steps(); ++i) {
    const double s = p.node(i).s();
    std::vector<double> nodes{0};  // the levels of the slopes, less that of the newest
    for (int age = 1; age < std::min(most, past.size() + 1); ++age) nodes.push_back(p.node(i - age).s() - s);
    const std::vector<double> c = integrated_polynomials(nodes, p.node(i + 1).s() - s);
    rows.call(p.node(i)).state().x(1).eps(c[0]);
    for (size_t age = 1; age < c.size(); ++age) rows.reg(past[static_cast<int>(age)], c[age]);
    past.keep_eps();
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {kOrder, kKarrasOption};
constexpr const char* kClasses[] = {"LMSDiscreteScheduler"};
constexpr FixedArgument kFixed[] = {{"use_exponential_sigmas", "false"}, {"use_beta_sigmas", "false"}};

}  // namespace

extern const Sampler kLms;
const Sampler kLms = {
    .name = "lms",
    .summary = "linear multistep up to fourth order, one network call a step",
    .usual_steps = 25,
    .grid = GridKind::Real,
    .clips = false,
    .divides_alpha = true,
    .options = kOptions,
    .scheduler_classes = kClasses,
    .fixed = kFixed,
    .class_defaults = linspace_by_default,
    .table = lms,
};

}  // namespace ito
