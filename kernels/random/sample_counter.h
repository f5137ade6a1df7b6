// SPDX-License-Identifier: Apache-2.0
// Which draw belongs to which image of a batch: device-side step, so that a captured graph stays right.
#pragma once
#include <cstdint>

namespace ito {

// Image n of a launch is sample  first + *step * samples_per_step + n  (mod 2^32) of the counter, at step word 0; a
// reverse process, which draws more than once a sample, has the number of the draw there instead (ReverseRow::draw).
struct SampleCounter {
  uint64_t seed = 0;
  const int64_t* step = nullptr;  // device memory; null: 0
  int64_t samples_per_step = 0;
  int64_t first = 0;
  const int64_t* first_on_device = nullptr;  // added to first when given (a batch's index set between replays)
  const uint32_t* words = nullptr;  // (N), device memory: each image's sample word, in place of consecutive ones
  const float* given = nullptr;  // a reverse process's z in place of drawn ones: (draws, N, image size), device memory

  // Of a training step's images from `offset` on; step is in device memory.
  static SampleCounter of_training(uint64_t seed, const int64_t* step, int64_t batch, int64_t offset = 0) {
    return {.seed = seed, .step = step, .samples_per_step = batch, .first = offset};
  }
  // Of a batch of sampling, whose first image has the number in device memory.
  static SampleCounter of_sampling(uint64_t seed, const int64_t* first_on_device) {
    return {.seed = seed, .first_on_device = first_on_device};
  }
};

}  // namespace ito
