// SPDX-License-Identifier: Apache-2.0
// What a kernel is tried with before a layer depends on it: invented data, and the portable kernel's result to compare
// with.
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/seams/device.h"

namespace ito {

class DeviceBlock {
 public:
  explicit DeviceBlock(size_t bytes) : memory_(bytes ? device_allocate(bytes, "trial of a kernel") : nullptr) {}
  ~DeviceBlock() {
    if (memory_) device_free(memory_);
  }
  DeviceBlock(const DeviceBlock&) = delete;
  DeviceBlock& operator=(const DeviceBlock&) = delete;
  char* at(size_t offset) const { return static_cast<char*>(memory_) + offset; }
  void* data() const { return memory_; }

 private:
  void* memory_;
};

// Values in [-1, 1) from a linear congruential generator, stored in `type` at `to`, by way of `wide` (fp32).
void invent(Stream& stream, void* to, DType type, const DeviceBlock& wide, int64_t count, uint32_t seed);
std::vector<float> as_floats(const std::vector<char>& bytes, DType type);
std::vector<char> fetch(Stream& stream, const void* from, size_t bytes);
// Of stored values: no difference above a share of the largest value that is far above rounding and far below what
// another operation would give: 2^-6 for values rounded to bf16 (2^-9) or summed from TF32 products, 2^-15 for fp32
// (2^-24), which TF32 (2^-11) exceeds. Nothing that is not finite.
bool same_up_to_rounding(const std::vector<char>& got, const std::vector<char>& want, DType type, bool true_fp32);

}  // namespace ito
