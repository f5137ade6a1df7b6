// SPDX-License-Identifier: Apache-2.0
// Which draw belongs to which image of a batch: device-side step, so that a captured graph stays right.
#pragma once
#include <cstdint>

namespace ito {

// Image n of a launch is sample  first + *step * samples_per_step + n  (mod 2^32) of the counter and draws at step
// word  counter_uses_step ? *step : 0.
// Training: samples_per_step = global batch, first = the micro-batch's offset, step word 0 (the index says it all).
// Sampling: samples_per_step = 0, first = index of the batch's first image, step word = the reverse step.
struct SampleCounter {
  uint64_t seed = 0;
  const int64_t* step = nullptr;  // device memory; null: 0
  int64_t samples_per_step = 0;
  int64_t first = 0;
  const int64_t* first_on_device = nullptr;  // added to first when given (a batch's index set between replays)
  bool counter_uses_step = false;

  // Of a training step's images from `offset` on; step is in device memory.
  static SampleCounter of_training(uint64_t seed, const int64_t* step, int64_t batch, int64_t offset = 0) {
    return {.seed = seed, .step = step, .samples_per_step = batch, .first = offset};
  }
};

}  // namespace ito
