// SPDX-License-Identifier: Apache-2.0
// The last losses of every level, and the draw of levels that follows them: loss-second-moment resampling (Nichol and
// Dhariwal 2021, eq. 18),
//   p_t = (1 - u) r_t / sum r + u / T,  r_t = sqrt(mean of the last ten L_t^2),
// uniform (p_t = 1 / T) until every level has ten losses. A loss drawn so is weighted by 1 / (T p_t).
#pragma once
#include "kernels/diffusion/noising.h"

namespace ito {

inline constexpr int kLevelHistory = 10;  // losses of a level that are kept

// Of every level, the losses of its images in the order of the batch, each in the place of its oldest.
// losses (levels, kLevelHistory); counts (levels): losses taken, of which multiples of kLevelHistory above it are left
// out (0..2 kLevelHistory - 1), so that the next place is count % kLevelHistory. loss (N) weighted by scale (levels)
// and rows (N) of the images. apply: device memory, 0 leaves all as it is (a skipped step); non-finite losses are
// passed over.
void record_level_losses(Stream& stream, float* losses, int32_t* counts, const float* loss, const ForwardRow* rows,
                         const float* scale, const int32_t* apply, int levels, int n);

// thresholds (levels): p_t as counts of 32-bit words, summed (LevelChances), a chance rounded down to a whole count and
// the last level what is left; scale (levels): 1 / (T p_t) of the whole counts, exactly 1 while the draw is uniform,
// and 0 of a level that is never drawn. uniform: the share u.
void level_loss_chances(Stream& stream, uint64_t* thresholds, float* scale, const float* losses, const int32_t* counts,
                        int levels, double uniform);

}  // namespace ito
