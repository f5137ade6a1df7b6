// SPDX-License-Identifier: Apache-2.0
// Our tensor-core convolutions (kernels/nn/conv_sm80.h, conv_sm90.h) as families of runners.
#pragma once
#include "kernels/nn/conv_sm80.h"
#include "kernels/seams/lanes/conv_runner.h"

namespace ito {

extern const ConvFamily kSm80Conv;
extern const ConvFamily kSm90Conv;  // on request: no card has yet shown it right and faster

inline const bf16* as_bf16(ConstDataRef data) {
  return static_cast<const bf16*>(data.data);
}
ConvSm80Norm sm80_norm(const NormBefore& norm);

}  // namespace ito
