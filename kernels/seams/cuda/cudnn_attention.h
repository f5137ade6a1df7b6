// SPDX-License-Identifier: Apache-2.0
// cuDNN's fused attention as a runner of the forward, with ITO_CUDNN_ATTENTION=1 or where a kernel table names it.
#pragma once
#include "kernels/seams/lanes/attention_runner.h"

namespace ito::cuda {

extern const AttentionFamily kCudnnAttention;

}  // namespace ito::cuda
