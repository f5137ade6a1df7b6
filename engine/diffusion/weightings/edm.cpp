// SPDX-License-Identifier: Apache-2.0
// EDM weighting (Karras et al. 2022, table 1 and eq. 8): 1 / c_out^2 = (s^2 + sd^2) / (s sd)^2 on the error of x0, s =
// sigma / alpha, sd = sigma_data: SNR + 1 / sd^2, and on that of eps 1 + 1 / (sd^2 SNR). The F of a preconditioned
// network has weight 1 by it. At pure noise v_prediction has 1 / sd^2, and eps an infinite weight, which is refused.
#include "engine/diffusion/weighting.h"

namespace ito {
namespace {

ErrorWeights edm(double snr, std::span<const double> values) {
  const double inverse = 1 / (values[0] * values[0]);
  return {.eps = 1 + inverse / snr, .x0 = snr + inverse};
}

constexpr ChoiceNumber kNumbers[] = {{"sigma_data", 0.5, 1e-6, 1e6, "deviation of the data; an edm model's own"}};

}  // namespace

extern const Weighting kEdmWeighting;
const Weighting kEdmWeighting = {
    .name = "edm",
    .summary = "SNR + 1 / sigma_data^2 on the loss of x0; Karras et al. 2022",
    .numbers = kNumbers,
    .weights = edm,
};

}  // namespace ito
