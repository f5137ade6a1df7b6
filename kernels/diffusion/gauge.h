// SPDX-License-Identifier: Apache-2.0
// What a row must know of whole images before it updates them: two numbers an image, of the estimates d and e that the
// row itself forms (reverse_row.h).
//   Quantile  q = min(max(Q, 1), gauge_most), Q the gauge_ratio-quantile of |d| over the image's N numbers: linear
//             between the order statistics around position gauge_ratio (N - 1). The pair is q, 0 (dynamic thresholding;
//             Saharia et al. 2022, section 2.3).
//   Langevin  a = 2 gauge_most (gauge_ratio |z| / |score|)^2, |score| = |e| / sigma, and b = sqrt(2a): the step of a
//             corrector from the signal-to-noise ratio gauge_ratio (Song et al. 2021, algorithms 4 and 5), norms over
//             the image. The published ones are means over the batch, which would make an image's bits depend on its
//             neighbours.
// A row with Gauge::None leaves the pairs as they are.
#pragma once
#include "kernels/diffusion/reverse_row.h"

namespace ito {

// gauges (N, 2) for rows[*row]; the rest as for reverse_row, which must run on the same x, pred and counter.
void measure_gauges(Stream& stream, float* gauges, const float* x, ConstDataRef pred, bool wide, const ReverseRow* rows,
                    const int64_t* row, const SampleCounter& counter, int n, int pixels, int c);

}  // namespace ito
