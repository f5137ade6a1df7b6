// SPDX-License-Identifier: Apache-2.0
// The mean learned as it is (prediction_type mean): maximum likelihood of pairs (x_{t-1}, x_t) under
//   p(x_{t-1} | x_t) = N(mu(x_t, t), s_t^2 I).
// The best s_t^2 for a mean is the mean squared error of a number at that timestep, |x_{t-1} - mu|^2 / N, which
// training measures as it goes. (A 1 / s_t^2 inside that sum, as a tutorial prints it, would divide it away.) A step of
// another length has no mean of its own.
#include <cmath>

#include "engine/diffusion/options/option.h"
#include "kernels/error.h"

namespace ito {
namespace {

Transition direct(const TransitionProblem& p) {
  ITO_USER_CHECK(p.reading.predicted() == Quantity::mean(), p.who, ": needs a network of prediction_type ",
                 name_of(Quantity::mean()), ", this one predicts ", name_of(p.reading.predicted()),
                 "; use another reverse option");
  ITO_USER_CHECK(p.is_one_timestep(), p.who, ": the network knows the mean of the next timestep alone, and timestep ",
                 p.from.time, " is followed by ", p.to.time, "; use all steps, or the reverse option posterior");
  Transition transition{.pred = 1};
  if (p.config.variance_type == VarianceType::LearnedRange)
    set_posterior_variance(transition, p);
  else
    transition.std = std::sqrt(p.measured().error_at(static_cast<int>(p.from.time), p.who));
  return transition;
}

}  // namespace

extern const ReverseOption kDirect;
const ReverseOption kDirect = {
    .name = "direct",
    .help =
        "N(mu(x_t, t), s_t^2 I) by maximum likelihood, mu the network's answer (prediction_type mean) and\n"
        "s_t^2 = E |x_{t-1} - mu|^2 / N, measured by timestep",
    .predicts_mean = true,
    .asks_statistics = true,
    .variance = StepVariance::Scheduler,
    .transition = direct,
};

}  // namespace ito
