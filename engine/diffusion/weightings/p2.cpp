// SPDX-License-Identifier: Apache-2.0
// P2 weighting (Choi et al. 2022, eq. 8): the loss of eps divided by (k + SNR)^gamma, so that clean levels, where
// little is left to learn, weigh less. Of x0 it is SNR / (k + SNR)^gamma, which with gamma 1 tends to 1, with a smaller
// one grows without bound and with a larger one vanishes, written here as SNR^(1 - gamma) / (k / SNR + 1)^gamma above
// SNR 1.
#include <cmath>

#include "engine/diffusion/weighting.h"

namespace ito {
namespace {

ErrorWeights p2(double snr, std::span<const double> values) {
  const double k = values[0], gamma = values[1];
  const double eps = std::pow(k + snr, -gamma);
  return {.eps = eps, .x0 = snr <= 1 ? snr * eps : std::pow(snr, 1 - gamma) * std::pow(k / snr + 1, -gamma)};
}

constexpr ChoiceNumber kNumbers[] = {{"k", 1, 1e-6, 1e6, "added to the SNR"},
                                     {"gamma", 1, 0, 10, "the power; 0 is snr's weighting"}};

}  // namespace

extern const Weighting kP2Weighting;
const Weighting kP2Weighting = {
    .name = "p2",
    .summary = "the loss of eps over (k + SNR)^gamma; Choi et al. 2022",
    .numbers = kNumbers,
    .weights = p2,
};

}  // namespace ito
