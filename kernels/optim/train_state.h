// SPDX-License-Identifier: Apache-2.0
// What one training step carries to the next, in device memory, so that the captured step needs no host value.
#pragma once
#include <cstdint>

namespace ito {

struct TrainState {
  int64_t step;                 // training steps begun: picks the data, the noise and the learning rate
  int64_t applied;              // updates applied (step less the skipped ones): Adam's bias correction, the EMA ramp
  int64_t skipped;              // steps skipped because of a non-finite gradient or loss, in all
  int64_t skipped_in_row;       // up to this step
  int64_t most_skipped_in_row;  // largest skipped_in_row since the host last cleared it: a streak may end unseen
  double beta1_power;           // beta1^applied
  double beta2_power;
  double loss_sum;  // since the host last cleared it
  int64_t loss_count;
  double last_loss;
  double gradient_norm;  // before clipping, of the last step
  // Of the step being taken, set by optimizer_prepare:
  float learning_rate;
  float gradient_scale;    // clip factor
  float bias_correction1;  // 1 - beta1^k
  float bias_correction2;
  float ema_decay;
  int32_t apply;  // 0: skip
};

}  // namespace ito
