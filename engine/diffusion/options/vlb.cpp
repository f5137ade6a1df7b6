// SPDX-License-Identifier: Apache-2.0
// The posterior with a variance that is learned through the variational bound (Nichol and Dhariwal 2021, eq. 15 and
// 16): the mean of posterior.cpp, and where variance_type is learned_range
//   log variance = f log beta_t + (1 - f) log beta~_t,  f chosen by the network.
// With a fixed variance it is Ho et al.'s choice: the bound then differs from the squared error by weights alone.
#include "engine/diffusion/options/option.h"

namespace ito {

extern const ReverseOption kVlb;
const ReverseOption kVlb = {
    .name = "vlb",
    .help =
        "the posterior's mean with a variance learned by the variational bound, where variance_type is\n"
        "learned_range: log variance = f log beta_t + (1 - f) log beta~_t, f of the network",
    .predicts_mean = false,
    .asks_statistics = false,
    .variance = StepVariance::Network,
    .transition = posterior_step,
};

}  // namespace ito
