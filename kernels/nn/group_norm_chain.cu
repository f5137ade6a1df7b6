// SPDX-License-Identifier: Apache-2.0
// The chain from x to z as three numbers a channel of an image (set_chain), for whoever computes it elsewhere than in a
// norm's own kernels. A block owns one image and kChannels of its channels. Memory: 12 bytes a channel and image.
#include "dialect.h"
#include "kernels/nn/group_norm.h"
#include "kernels/nn/group_norm_slice.cuh"

namespace ito {
namespace {

constexpr int kChannels = 256;

KERNEL void group_norm_chain_kernel(float* chain, const float* stats, const float* gamma, const float* beta,
                                    GroupNormModulation modulation, GroupNormShape shape, int slices) {
  const int64_t image = blockIdx.x / slices;
  const int first = static_cast<int>(blockIdx.x % slices) * kChannels;
  const int width = shape.c - first < kChannels ? shape.c - first : kChannels;
  float* offset = chain + 3 * image * shape.c + first;
  set_chain({offset, offset + shape.c, offset + 2 * shape.c}, stats, gamma, beta, modulation, shape, image, first,
            width);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void group_norm_chain(Stream& stream, float* chain, const float* stats, const float* gamma, const float* beta,
                      const GroupNormModulation& modulation, const GroupNormShape& shape) {
  check_group_norm("group_norm_chain", shape, static_cast<const void*>(nullptr));
  const int slices = static_cast<int>(ceil_div(shape.c, kChannels));
  launch<group_norm_chain_kernel>("group_norm_chain", Dim3(int64_t{1} * shape.n * slices), block_threads(kChannels), 0,
                                  stream, chain, stats, gamma, beta, modulation, shape, slices);
}

}  // namespace ito
