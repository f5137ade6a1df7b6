// SPDX-License-Identifier: Apache-2.0
// Soft min-SNR (Crowson et al. 2024, of HDiT): 1 / (s^2 + 1 / gamma) on the error of x0, s = sigma / alpha, which is
// SNR gamma / (SNR + gamma), hence gamma / (SNR + gamma) on that of eps. Min-SNR without its corner: half of it where
// the SNR is gamma, and its limits at both ends.
#include "engine/diffusion/weighting.h"

namespace ito {
namespace {

// Written so that neither end is infinite over infinite.
ErrorWeights soft_min_snr(double snr, std::span<const double> values) {
  const double gamma = values[0];
  return {.eps = gamma / (snr + gamma), .x0 = snr <= 1 ? snr * gamma / (snr + gamma) : gamma / (1 + gamma / snr)};
}

constexpr ChoiceNumber kNumbers[] = {{"gamma", 4, 1e-6, 1e9, "the weight of x0 that clean levels tend to"}};

}  // namespace

extern const Weighting kSoftMinSnrWeighting;
const Weighting kSoftMinSnrWeighting = {
    .name = "soft-min-snr",
    .summary = "SNR gamma / (SNR + gamma) on the loss of x0; Crowson et al. 2024",
    .numbers = kNumbers,
    .weights = soft_min_snr,
};

}  // namespace ito
