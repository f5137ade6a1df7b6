// SPDX-License-Identifier: Apache-2.0
// What a training step is given: images of one type, and their labels if the network wants them.
#pragma once
#include <cstdint>

#include "engine/program/label_rows.h"
#include "kernels/seams/device.h"

namespace ito {

// Memory of the host. One of the two kinds of images is there, (N, H, W, C), none of them mirrored yet.
struct TrainBatch {
  const uint8_t* bytes = nullptr;  // 0 to 255
  const float* numbers = nullptr;  // in [-1, 1]
  LabelRows labels = {};           // (N), as the network has them
  // Given: the memory is of host_allocate and stays as it is until this point of the stream, which the step sets. Null:
  // it may change as soon as the step returns.
  Event* taken = nullptr;
};

}  // namespace ito
