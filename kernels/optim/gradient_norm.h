// SPDX-License-Identifier: Apache-2.0
// Global gradient norm and the decisions of one optimiser step.
#pragma once
#include "kernels/optim/train_state.h"
#include "kernels/seams/device.h"

namespace ito {

inline constexpr int64_t kNormSpan = 4096;  // elements a partial sum covers: fixed, so bits do not depend on the grid

// How a moving average of the weights forgets, s updates being applied before this one, which is number t = s + 1:
//   power above 0: decay = (1 - 1/t)^power, a power function of relative width sigma_rel, power = gamma + 1 (Karras et
//   al. 2024, section 3.1 and appendix C);  else: decay = min(max_decay, 1 - (1 + s/inv_gamma)^-ramp), the settings'
//   ramp.
struct EmaProfile {
  float max_decay = 0.9999f;
  double power = 0;
};

struct OptimizerSettings {
  double beta1 = 0.9, beta2 = 0.999;  // double: 1 - beta2 from an fp32 beta2 would be wrong by 1e-5
  float eps = 1e-8f, weight_decay = 1e-2f;
  float max_gradient_norm = 1.0f;  // 0: no clipping
  float ema_ramp = 0.75f, ema_inv_gamma = 1.0f;
  EmaProfile emas[kMostEmas];
  int ema_count = 1;
};

// partial (ceil(count / kNormSpan)) doubles: sum of squares of each span, in a fixed order. Of a slice that begins at a
// multiple of kNormSpan they are the whole's, from partial + begin / kNormSpan on: the owners of slices make them
// apart, and whoever has all of them has the same norm.
void gradient_square_sums(Stream& stream, double* partial, const float* gradient, int64_t count);

// One block: sums loss (batch, mean) in the order of kernels/sum_tree.h and partials in a fixed one; fills the state's
// derived values from learning_rates[step] (the table covers every step); decides apply (norm and loss finite); counts;
// step += 1. clip factor = min(1, max_norm / (norm + 1e-6)). Every average has decay 0 at the first update.
void optimizer_prepare(Stream& stream, TrainState* state, const float* loss, int batch, const double* partial,
                       int64_t partials, const float* learning_rates, const OptimizerSettings& settings);

}  // namespace ito
