// SPDX-License-Identifier: Apache-2.0
// What one training step carries to the next, in device memory, so that the captured step needs no host value.
#pragma once
#include <cstdint>

namespace ito {

inline constexpr int kMostEmas = 4;  // moving averages of the weights that one update keeps

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
  int32_t apply;                         // 0: skip
  float more_ema_decays[kMostEmas - 1];  // of the further averages; nothing shows them, so nothing keeps them

  // visitor(name, field) for every field but the last: what a checkpoint keeps is the whole state, what only the log
  // shows included, since a line may come before the next step has set it anew. State: TrainState or const TrainState.
  template <class State, class Visitor>
  static void visit(State& s, const Visitor& visitor) {
    visitor("step", s.step);
    visitor("applied", s.applied);
    visitor("skipped", s.skipped);
    visitor("skipped_in_row", s.skipped_in_row);
    visitor("most_skipped_in_row", s.most_skipped_in_row);
    visitor("beta1_power", s.beta1_power);
    visitor("beta2_power", s.beta2_power);
    visitor("loss_sum", s.loss_sum);
    visitor("loss_count", s.loss_count);
    visitor("last_loss", s.last_loss);
    visitor("gradient_norm", s.gradient_norm);
    visitor("learning_rate", s.learning_rate);
    visitor("gradient_scale", s.gradient_scale);
    visitor("bias_correction1", s.bias_correction1);
    visitor("bias_correction2", s.bias_correction2);
    visitor("ema_decay", s.ema_decay);
    visitor("apply", s.apply);
  }
};

}  // namespace ito
