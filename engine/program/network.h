// SPDX-License-Identifier: Apache-2.0
// How the engine sees a model: something that appends itself to a program, and the shapes around it. Models depend on
// the engine, not the other way round.
#pragma once
#include <functional>
#include <vector>

#include "engine/program/program.h"

namespace ito {

enum class LabelKind : uint8_t { None, Index, Value };  // Index: class numbers (int32); Value: fp32 rows

struct Network {
  int height = 0, width = 0, channels = 0;  // of the sample
  int out_channels = 0;
  LabelKind labels = LabelKind::None;
  int classes = 0;      // of LabelKind::Index
  int label_width = 1;  // of LabelKind::Value
  // Appends the network to the program and finishes it. Inputs "sample", "timestep", "class_labels".
  std::function<void(Program&)> build;

  int64_t row() const { return int64_t{1} * height * width * channels; }
};

}  // namespace ito
