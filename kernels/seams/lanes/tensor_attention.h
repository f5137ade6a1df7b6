// SPDX-License-Identifier: Apache-2.0
// Our tensor-core attention (kernels/nn/attention_sm80.h) as a family of runners.
#pragma once
#include "kernels/seams/lanes/attention_runner.h"

namespace ito {

extern const AttentionFamily kSm80Attention;

}  // namespace ito
