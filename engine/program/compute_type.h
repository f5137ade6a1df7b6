// SPDX-License-Identifier: Apache-2.0
// The type that activations are computed in, by its name.
#pragma once
#include <string>

#include "kernels/types.h"

namespace ito {

// "fp32" or "bf16"; bf16 falls back to fp32 with a warning where the device has no bf16 products. where: what the name
// was given to (a flag, a key), to begin the UserError for another name.
DType compute_type_of(const std::string& name, const std::string& where);

}  // namespace ito
