// SPDX-License-Identifier: Apache-2.0
// The normals of PyTorch's generator on a CPU, so that a seed means there and here the same images: what
// torch.manual_seed(seed) and then torch.randn of each count give, in fp32 and C order. The generator is Matsumoto and
// Nishimura's mt19937; the normals are Box and Muller's, in blocks of 16 for 16 numbers or more and one by one for
// fewer, as PyTorch has had it since 2018.
#pragma once
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

namespace ito {

class TorchCpuNoise {
 public:
  explicit TorchCpuNoise(uint64_t seed) : bits_(static_cast<uint32_t>(seed)) {}
  // The next tensor's. One call a tensor: how many are drawn at once matters.
  std::vector<float> normals(int64_t count);

 private:
  float uniform();              // in [0, 1), 24 bits of one word
  double fine_uniform();        // 53 bits of two
  void fill_block(float* out);  // 16 uniforms become 16 normals
  float single();

  std::mt19937 bits_;
  std::optional<double> second_;  // of a pair drawn one by one, kept for the next call, whichever tensor's that is
};

}  // namespace ito
