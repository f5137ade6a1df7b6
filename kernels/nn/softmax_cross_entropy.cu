// SPDX-License-Identifier: Apache-2.0
// Softmax and cross-entropy of a classifier's logits; formulas and shapes in softmax_cross_entropy.h.
// The cut: a warp a row (a thread where a block is one), a lane every WARP-th class, so that nothing waits for another
// warp. A lane sums its own classes in order, then the warp as a butterfly: the order is a function of the classes
// alone. The loss is a difference of numbers below the largest logit, so that it does not cancel.
// Memory: logits are read three times (maximum, sum, gradient), the second and third time from L1, and the gradient is
// written: 8 bytes an element. Refused: strips of 16 bytes (rows of ten classes are not aligned, and the batch is
// small).
#include "kernels/nn/softmax_cross_entropy.h"

#include "dialect.h"

namespace ito {
namespace {

constexpr int kThreads = block_threads(256);
constexpr int kRowsOfBlock = kThreads / WARP;  // rows of a block

KERNEL void softmax_cross_entropy_kernel(float* loss, float* dlogits, const float* logits, const int32_t* labels, int n,
                                         int classes, float gradient_scale) {
  const int64_t row = int64_t{1} * blockIdx.x * kRowsOfBlock + threadIdx.x / WARP;
  if (row < n) {
    const int lane = static_cast<int>(threadIdx.x) % WARP, label = labels[row];
    const float* z = logits + row * classes;
    float top = -INFINITY;
    for (int k = lane; k < classes; k += WARP) top = z[k] > top ? z[k] : top;
    top = warp_max(top);
    float sum = 0.0f;
    for (int k = lane; k < classes; k += WARP) sum += fast_exp(z[k] - top);
    sum = warp_sum(sum);
    if (lane == 0) loss[row] = fast_log(sum) - (z[label] - top);
    if (dlogits) {
      float* d = dlogits + row * classes;
      const float factor = 1.0f / sum;
      for (int k = lane; k < classes; k += WARP) {
        const float p = factor * fast_exp(z[k] - top);
        d[k] = gradient_scale * (k == label ? p - 1.0f : p);
      }
    }
  }
}

}  // namespace

void softmax_cross_entropy(Stream& stream, float* loss, float* dlogits, const float* logits, const int32_t* labels,
                           int n, int classes, int batch) {
  ITO_CHECK(n >= 0 && classes > 0 && batch >= n && batch > 0, "softmax_cross_entropy: N ", n, ", classes ", classes,
            ", batch ", batch, ", expected positive sizes and a batch of at least N");
  ITO_CHECK(loss && logits && labels, "softmax_cross_entropy: the losses, the logits or the labels are null");
  launch<softmax_cross_entropy_kernel>("softmax_cross_entropy", Dim3(ceil_div(n, kRowsOfBlock)), kThreads, 0, stream,
                                       loss, dlogits, logits, labels, n, classes, 1.0f / static_cast<float>(batch));
}

}  // namespace ito
