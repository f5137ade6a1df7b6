// SPDX-License-Identifier: Apache-2.0
// Min-SNR-gamma (Hang et al. 2023, section 3.4): min(SNR, gamma) on the error of x0, hence min(SNR, gamma) / SNR on
// that of eps and min(SNR, gamma) / (SNR + 1) on that of v. At pure noise, where a schedule with zero terminal SNR
// ends, the limits are 1 for eps, and 0 for v and x0: that level then teaches such a network nothing, and v_prediction,
// which is chosen for its sake, learns its last timestep from its neighbours alone. Weight it otherwise (none, p2, edm)
// where sampling begins there.
#include <algorithm>

#include "engine/diffusion/weighting.h"

namespace ito {
namespace {

// gamma / SNR is infinite at SNR 0, and its minimum with 1 the limit.
ErrorWeights min_snr(double snr, std::span<const double> values) {
  const double gamma = values[0];
  return {.eps = std::min(1.0, gamma / snr), .x0 = std::min(snr, gamma)};
}

constexpr ChoiceNumber kNumbers[] = {{"gamma", 5, 1e-6, 1e9, "the largest weight of x0"}};

}  // namespace

extern const Weighting kMinSnrWeighting;
const Weighting kMinSnrWeighting = {
    .name = "min-snr",
    .summary = "min(SNR, gamma) on the loss of x0; Hang et al. 2023",
    .numbers = kNumbers,
    .weights = min_snr,
};

}  // namespace ito
