// SPDX-License-Identifier: Apache-2.0
// No weighting: the squared error of what the network predicts, as the table of quantities weighs it (1, and sigma^2
// for the score; Ho et al. 2020, eq. 14, for eps). The F of a preconditioned network has weight 1, which is the edm
// weighting (Karras et al. 2022, eq. 8).
#include "engine/diffusion/weighting.h"

namespace ito {

extern const Weighting kUnweighted;
const Weighting kUnweighted = {
    .name = "none",
    .summary = "the squared error as it is, of a score times sigma^2",
    .numbers = {},
    .weights = nullptr,
};

}  // namespace ito
