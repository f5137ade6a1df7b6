// SPDX-License-Identifier: Apache-2.0
// The loss of a classifier and its gradient: the cross-entropy of an image's class under the softmax of its logits.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// With z a row of logits and l its label, 0 to K-1:
//   loss[n] = ln sum_k e^(z[k] - m) - (z[l] - m), m = max_k z[k];  dlogits[n][k] = (e^(z[k] - m) / sum - [k = l]) /
//   batch
// The batch's loss is the mean over its `batch` images, of which these n may be a part. dlogits is set; null: not
// wanted.
void softmax_cross_entropy(Stream& stream, float* loss, float* dlogits,  // (N), (N, K)
                           const float* logits, const int32_t* labels,   // (N, K), (N)
                           int n, int classes, int batch);

}  // namespace ito
