// SPDX-License-Identifier: Apache-2.0
// The posterior, marginalised over what the network does not know of the noise: q(eps | x_t) = N(eps_hat, s_t^2 I), and
// the posterior's mean is linear in eps, so that the mean stays and the variance grows:
//   (1 - abar_{t-1}) / (1 - abar_t) beta_t + beta_t^2 / (alpha_t (1 - abar_t)) s_t^2,  s_t^2 = E |eps - eps_hat|^2 / N,
// as Bao et al. 2022 (Analytic-DPM) have it from the score. A perfect network of a point mass has s = 0 and the
// posterior's variance; standard normal data has s_t^2 = abar_t and beta_t.
#include <algorithm>
#include <cmath>

#include "engine/diffusion/options/option.h"

namespace ito {
namespace {

Transition marginal(const TransitionProblem& p) {
  const Posterior q = gaussian_posterior(p.from.abar, p.to.abar);
  const int timestep = static_cast<int>(std::lround(p.from.time));
  // Of x0, which is (1 - abar_t) / abar_t times that of eps: pure noise says all of eps and, of some, nothing of x0.
  const double slope = q.from_x0 * p.reading.call(p.from, Space::Vp).x0.from_given;
  const double variance = q.variance + slope * slope * p.measured().error_at(timestep, p.who);
  return {.x = q.from_x, .x0 = q.from_x0, .std = std::sqrt(std::max(variance, 1e-20))};
}

}  // namespace

extern const ReverseOption kMarginal;
const ReverseOption kMarginal = {
    .name = "marginal",
    .help =
        "the posterior's mean, its variance widened by what the network does not know:\n"
        "beta~_t + beta_t^2 / (alpha_t (1 - abar_t)) s_t^2, s_t^2 = E |eps - eps_hat|^2 / N, measured by timestep",
    .predicts_mean = false,
    .asks_statistics = true,
    .variance = StepVariance::Own,
    .transition = marginal,
};

}  // namespace ito
