// SPDX-License-Identifier: Apache-2.0
// The list of architectures: an `extern` and a line of the list each.
#include "models/architecture.h"

namespace ito {

extern const Architecture kUNet2DModel;            // models/unet/unet_architecture.cpp
extern const Architecture kDiTTransformer2DModel;  // models/dit/dit_architecture.cpp
extern const Architecture kJiTTransformer2DModel;  // models/jit/jit_architecture.cpp
extern const Architecture kGaussianMixture;        // models/mixture/mixture_architecture.cpp
extern const Architecture kToyNetwork;             // models/toy/toy_architecture.cpp

Architectures architectures() {
  static constexpr const Architecture* kAll[] = {&kUNet2DModel, &kDiTTransformer2DModel, &kJiTTransformer2DModel,
                                                 &kGaussianMixture, &kToyNetwork};
  return kAll;
}

}  // namespace ito
