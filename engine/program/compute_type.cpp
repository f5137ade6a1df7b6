// SPDX-License-Identifier: Apache-2.0
// See compute_type.h.
#include "engine/program/compute_type.h"

#include "engine/io/json_file.h"
#include "kernels/error.h"
#include "kernels/seams/device.h"

namespace ito {

DType compute_type_of(const std::string& name, const std::string& where) {
  if (name == name_of(DType::F32)) return DType::F32;
  ITO_USER_CHECK(name == name_of(DType::BF16), where, " ", name, ": expected fp32 or bf16",
                 did_you_mean(name, {"fp32", "bf16"}));
  if (device_has_bf16()) return DType::BF16;
  warn("this processor has no bf16 products; computing in fp32");
  return DType::F32;
}

}  // namespace ito
