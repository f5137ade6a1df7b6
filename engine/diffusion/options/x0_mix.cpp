// SPDX-License-Identifier: Apache-2.0
// A mixture of the state and its denoised estimate D, with the noise of a forward step through the same factor:
//   x_{t-1} = A_t x_t + (1 - A_t) D(x_t, t) + A_t sqrt(beta_t) z,
// A_t = sqrt((1 - abar_{t-1}) / (1 - abar_t)), the ratio of the noise levels; or the A_t that is nearest to x_{t-1}
// over data, E<m - D, x_t - D> / E|x_t - D|^2, m = E[x_{t-1} | x_t, x0] in the place of x_{t-1}, whose own noise it
// averages.
#include <cmath>

#include "engine/diffusion/options/option.h"
#include "kernels/error.h"

namespace ito {
namespace {

Transition x0_mix(const TransitionProblem& p) {
  const Posterior q = gaussian_posterior(p.from.abar, p.to.abar);
  double mix = std::sqrt((1 - p.to.abar) / (1 - p.from.abar));
  if (p.least_squares_mix) {
    ITO_USER_CHECK(p.is_one_timestep(), p.who,
                   ": the least-squares mixing was measured from a timestep to the next, and ", p.from.time,
                   " is followed by ", p.to.time, "; use all steps, or mix=levels");
    mix = p.measured().mix_at(static_cast<int>(p.from.time), p.who);
  }
  return {.x = mix, .x0 = 1 - mix, .std = p.to.sigma > 0 ? mix * std::sqrt(q.beta) : 0};
}

}  // namespace

extern const ReverseOption kX0Mix;
const ReverseOption kX0Mix = {
    .name = "x0-mix",
    .help =
        "x_{t-1} = A_t x_t + (1 - A_t) x0 + A_t sqrt(beta_t) z, x0 the network's,\n"
        "A_t = sqrt((1 - abar_{t-1}) / (1 - abar_t)), or by least squares over data (mix=least-squares)",
    .predicts_mean = false,
    .asks_statistics = true,
    .variance = StepVariance::Own,
    .transition = x0_mix,
};

}  // namespace ito
