// SPDX-License-Identifier: Apache-2.0
// iPNDM (Zhang and Chen 2023, section 3.3, on the levels of diffusers' IPNDMScheduler): Adams and Bashforth's rule up
// to fourth order for eps, at sigma = sin^2(pi u / 2), u = 1, 1 - 1/n, .., 0, with DDIM's steps:
//   e = sum_i c_i eps_-i,  x' = alpha'/alpha x + (sigma' - alpha'/alpha sigma) e.
// One network call a step. Those levels begin at pure noise, whose place a schedule's last level takes here; where a
// schedule has alpha 0 there, x is eps and says nothing of x0, so x' = sigma' e, as published. The class is not
// answered to: its networks are told (2 / pi) atan2(sigma, alpha), and a model that is told timesteps is not one of
// them.
#include "engine/samplers/lagrange.h"
#include "engine/samplers/sampler.h"

namespace ito {
namespace {

ReverseTable ipndm(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Vp);
  History<3> past(rows);
  for (int i = 0; i < p.steps(); ++i) {
    const Level &from = p.node(i), &to = p.node(i + 1);
    std::vector<double> times{0};  // of the estimates, in steps
    for (int age = 1; age <= past.size(); ++age) times.push_back(-age);
    const std::vector<double> c = integrated_polynomials(times, 1);
    const double growth = from.alpha > 0 ? to.alpha / from.alpha : 0;
    const double of_eps = to.sigma - growth * from.sigma;
    rows.call(from).state().x(growth).eps(of_eps * c[0]);
    for (int age = 1; age <= past.size(); ++age) rows.reg(past[age], of_eps * c[static_cast<size_t>(age)]);
    past.keep_eps();
  }
  return rows.table();
}

}  // namespace

extern const Sampler kIpndm;
const Sampler kIpndm = {
    .name = "ipndm",
    .summary = "multistep with DDIM's steps, one network call a step (Zhang and Chen 2023)",
    .usual_steps = 50,
    .grid = GridKind::SineSquared,
    .clips = false,
    .divides_alpha = true,
    .options = {},
    .scheduler_classes = {},
    .fixed = {},
    .class_defaults = nullptr,
    .table = ipndm,
};

}  // namespace ito
