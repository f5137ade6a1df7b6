// SPDX-License-Identifier: Apache-2.0
// The normals of PyTorch's generator on a CPU, against what PyTorch 1.13 gives: tensors of fewer than 16 numbers, whose
// last odd one waits for the next such tensor, of whole blocks and of ragged ones, one after the other.
#include "engine/reverse/torch_cpu_noise.h"

#include <gtest/gtest.h>

namespace ito {
namespace {

// torch.manual_seed(0), then torch.randn of each size: the first and the last numbers.
struct Tensor {
  int64_t size;
  std::vector<float> first, last;
};

const Tensor kOfSeed0[] = {
    {3, {1.54099607f, -0.293428898f, -2.17878938f}, {-2.17878938f}},
    {16,
     {-0.356128365f, 0.437222719f, 0.491304964f, -0.204101726f, -0.0885314271f, 0.523883283f, -0.665871322f,
      0.850377381f, -1.0437516f, -1.3453052f, 0.785355628f, 0.992837489f, -0.193183035f, -0.308962524f, 0.502572834f,
      -0.859445632f},
     {-0.859445632f}},
    {15, {0.568431258f, -0.856674612f, 1.10060418f, -1.07118738f}, {0.774848819f, 0.191869423f, 1.26379478f}},
    {17, {-0.230335474f, 2.56723285f, -0.473119795f}, {-1.5990819f, 0.0184866674f, -0.750426829f}},
    {1, {-0.280164629f}, {-0.280164629f}},
    {40,
     {-0.534440696f, 1.16868782f, 0.394502759f},
     {0.466883540f, 1.95065713f, -1.06309855f, 1.1403507f, 0.116398647f, -0.593990803f, -1.24392819f, -0.102092631f,
      -1.03354836f, -0.312638819f, 0.245785475f, 0.377181917f}},
};

TEST(TorchCpuNoise, IsPyTorchsOwn) {
  TorchCpuNoise noise(0);
  for (const Tensor& tensor : kOfSeed0) {
    const std::vector<float> drawn = noise.normals(tensor.size);
    ASSERT_EQ(static_cast<int64_t>(drawn.size()), tensor.size);
    // PyTorch's vectorised logarithm, sine and cosine are right to a few units of fp32.
    for (size_t i = 0; i < tensor.first.size(); ++i)
      EXPECT_NEAR(drawn[i], tensor.first[i], 2e-6) << "size " << tensor.size << ", number " << i;
    for (size_t i = 0; i < tensor.last.size(); ++i)
      EXPECT_NEAR(drawn[drawn.size() - tensor.last.size() + i], tensor.last[i], 2e-6)
          << "size " << tensor.size << ", number " << i << " of the last";
  }
}

// Of a whole image at once, as a pipeline draws it.
TEST(TorchCpuNoise, OfWholeBlocks) {
  const float want[] = {-1.1258398f, -1.1523602f, -0.25057858f, -0.43387881f,
                        0.84871036f, 0.69200915f, -0.31601277f, -2.1152194f};
  const std::vector<float> drawn = TorchCpuNoise(0).normals(int64_t{3} * 32 * 32);
  for (size_t i = 0; i < std::size(want); ++i) EXPECT_NEAR(drawn[i], want[i], 2e-6) << i;
  EXPECT_NE(TorchCpuNoise(1).normals(16), TorchCpuNoise(0).normals(16));
  EXPECT_EQ(TorchCpuNoise(uint64_t{1} << 32 | 7).normals(16), TorchCpuNoise(7).normals(16)) << "32 bits of it count";
}

}  // namespace
}  // namespace ito
