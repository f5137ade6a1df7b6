// SPDX-License-Identifier: Apache-2.0
// The trial of an engine on the card before a layer's direction depends on it.
#pragma once
#include <string>

#include "kernels/seams/cuda/conv_choice.h"
#include "kernels/seams/cuda/session.h"

namespace ito::cuda {

// Runs the engine on invented data. Empty if its result is the portable kernel's up to rounding and comes again with
// the same bits: an image's alone and in batches of three, of canonical_n() and of twice that, because libraries run
// other forms of a kernel for few images than for many. Else why not. Where the images of such batches would take more
// than half a gigabyte they are as large as fits. Throws CudnnError if the engine refuses a batch.
std::string try_engine(const Session& session, const ConvKey& key, const EngineChoice& choice);

}  // namespace ito::cuda
