// SPDX-License-Identifier: Apache-2.0
// SNR weighting (Salimans and Ho 2022, section 4): the SNR on the error of x0, which is 1 on that of eps, whatever the
// network predicts.
#include "engine/diffusion/weighting.h"

namespace ito {
namespace {

ErrorWeights snr_weights(double snr, std::span<const double>) {
  return {.eps = 1, .x0 = snr};
}

}  // namespace

extern const Weighting kSnrWeighting;
const Weighting kSnrWeighting = {
    .name = "snr",
    .summary = "the loss of eps, SNR on that of x0; Salimans and Ho 2022",
    .numbers = {},
    .weights = snr_weights,
};

}  // namespace ito
