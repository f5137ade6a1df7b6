// SPDX-License-Identifier: Apache-2.0
// One answer of two (Ho and Salimans 2022, classifier-free diffusion guidance; Karras et al. 2024, guiding a diffusion
// model with a bad version of itself):
//   answer = main + (w - 1) (main - other)
// in the channels of the image; what a network says besides, of its variance, is main's alone. `other` is the same
// network without a class, or a worse network. w is the weight where the network's time lies in an interval
// (Kynkaanniemi et al. 2024), and 1 elsewhere: there the answer is main's to the bit.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

// In device memory: a captured graph reads it anew.
struct GuidanceWeight {
  float weight;    // at times from `from` to `to`, both included
  float from, to;  // of the network's own time
};

struct GuidedShape {
  int n = 0;
  int64_t pixels = 0;                         // H W
  int channels = 0;                           // of the image: those that are guided
  int main_channels = 0, other_channels = 0;  // of the two answers, at least as many
};

// answer, main (N, H, W, main_channels), other (N, H, W, other_channels), of one type; times (N).
void guided_answer(Stream& stream, DataRef answer, ConstDataRef main, ConstDataRef other, const float* times,
                   const GuidanceWeight* weight, const GuidedShape& shape);
// dmain (+)= w danswer, dother (+)= (1 - w) danswer; besides the image, danswer and 0. Either may be null.
void guided_answer_backward(Stream& stream, DataRef dmain, Write write_main, DataRef dother, Write write_other,
                            ConstDataRef danswer, const float* times, const GuidanceWeight* weight,
                            const GuidedShape& shape);

}  // namespace ito
