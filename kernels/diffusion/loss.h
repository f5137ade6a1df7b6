// SPDX-License-Identifier: Apache-2.0
// Mean squared error against the target of a row (forward_row.h), regenerated: eps and eps2 come from the counter
// again, so that noising stores x_t only.
//   loss[n] = weight_n / image_size * sum (pred - target)^2
//   dpred   = 2 weight_n / (image_size * batch) (pred - target)
#pragma once
#include "kernels/diffusion/forward_row.h"
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

// loss (N) fp32; dpred (N, image_size) in pred's type, null: loss only; pred (N, image_size); x0 (N, image_size) fp32;
// rows (N). batch: images of the whole step, over which the loss is a mean. wide_channels: C where pred and dpred are
// (N, pixels, 2C), of which the first C are the prediction and the rest is left alone; 0: they are no wider than x0.
void squared_loss(Stream& stream, float* loss, DataRef dpred, ConstDataRef pred, const float* x0,
                  const ForwardRow* rows, const SampleCounter& counter, int n, int64_t image_size, int batch,
                  int wide_channels = 0);

}  // namespace ito
