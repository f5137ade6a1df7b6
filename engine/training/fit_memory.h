// SPDX-License-Identifier: Apache-2.0
// Sizes from the memory there is: how many images fit into a pass, or a batch. Nothing is allocated to find out.
#pragma once
#include <cstddef>
#include <functional>

#include "engine/training/trainer.h"

namespace ito {

// TrainSettings::micro_batch for passes as large as `limit` bytes allow: the batch in one, or else images_per_chunk()
// times a power of two. The least of these where not even that fits: the trainer then says what it needs. The bits of
// a run do not depend on it.
int largest_micro_batch(const Network& network, const NoiseSchedule& schedule, TrainSettings settings, size_t limit);

// The most images, up to `most`, whose bytes_of(images) is within `limit`; 0: not one. bytes_of grows with the images,
// nearly along a line, and is asked a few times.
int largest_within(size_t limit, int most, const std::function<size_t(int)>& bytes_of);

}  // namespace ito
