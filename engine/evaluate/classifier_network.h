// SPDX-License-Identifier: Apache-2.0
// The network of the classifier whose features metrics compare: convolutions of stride two down to a few pixels, one
// that covers what is left, and a linear layer. Small enough to be trained in a minute on two cores.
#pragma once
#include "engine/io/layout.h"
#include "engine/program/program.h"

namespace ito {

inline constexpr int kClassifierFeatures = 128;

struct ClassifierValues {
  Value image;     // (N, H, W, C) fp32, in [-1, 1]
  Value features;  // rows (N, kClassifierFeatures): what the last layer reads
  Value logits;    // rows (N, classes)
};

// Appends the network and its input to a program of fp32.
ClassifierValues append_classifier(Program& program, const ImageShape& image, int classes);
ParameterLayout classifier_layout(const ImageShape& image, int classes);

}  // namespace ito
