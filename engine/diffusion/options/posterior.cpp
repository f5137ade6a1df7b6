// SPDX-License-Identifier: Apache-2.0
// The posterior given the estimate of x0 (Ho et al. 2020, eq. 7): x_{t-1} ~ q(x_{t-1} | x_t, x0 = D(x_t, t)),
//   mean  sqrt(abar_{t-1}) beta_t / (1 - abar_t) D + sqrt(alpha_t) (1 - abar_{t-1}) / (1 - abar_t) x_t,
//   variance  (1 - abar_{t-1}) / (1 - abar_t) beta_t, or as variance_type says.
#include "engine/diffusion/options/option.h"

namespace ito {
extern const ReverseOption kPosterior;
const ReverseOption kPosterior = {
    .name = "posterior",
    .help =
        "q(x_{t-1} | x_t, x0) with the network's x0: mean sqrt(abar_{t-1}) beta_t / (1 - abar_t) x0 +\n"
        "sqrt(alpha_t) (1 - abar_{t-1}) / (1 - abar_t) x_t, variance (1 - abar_{t-1}) / (1 - abar_t) beta_t",
    .predicts_mean = false,
    .asks_statistics = false,
    .variance = StepVariance::Scheduler,
    .transition = posterior_step,
};

}  // namespace ito
