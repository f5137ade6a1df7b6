// SPDX-License-Identifier: Apache-2.0
// A weight gradient whose partials do not fit the memory for them is summed in waves: the same tree, the same bits.
#include "kernels/seams/conv.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/sum_tree.h"

namespace ito::test {
namespace {

TEST(ConvWaves, JoinByTheTree) {
  Stream stream;
  const ConvShape s{2, 2, 256, 512, 3, 3, 1, 1, 1, 1, 1};  // 4.7 MB a partial, so 8 a wave
  const int chunk = images_per_chunk(), chunks = 8 * 5 + 3, n = chunks * chunk - 1;
  const int64_t row_x = int64_t{1} * s.h * s.w * s.c, row_y = int64_t{1} * s.out_h() * s.out_w() * s.k;
  ConvLayer layer("waves", s, DType::F32, {false, true});
  DeviceArray<float> x(stream, random_values(n * row_x, 1)), dy(stream, random_values(n * row_y, 2));
  DeviceArray<char> packed(stream, layer.packed_bytes());
  layer.bind(packed);
  DeviceArray<float> dweight(stream, s.weights()), dbias(stream, s.k);
  DeviceArray<char> workspace(stream, layer.backward_weight_workspace(n));
  EXPECT_LE(workspace.bytes(), 11 * (sizeof(float) * s.weights() + 4096)) << "8 partials, and 3 sums of waves";
  std::vector<std::vector<float>> weights, biases;
  for (int first = 0; first < n; first += chunk) {
    layer.backward_weight(stream, dweight, dbias, dy.data() + first * row_y, x.data() + first * row_x,
                          std::min(chunk, n - first), workspace);
    weights.push_back(dweight.raw());
    biases.push_back(dbias.raw());
  }
  layer.backward_weight(stream, dweight, dbias, dy.data(), x.data(), n, workspace);
  EXPECT_EQ(dweight.raw(), ref::tree_sum(weights));
  EXPECT_EQ(dbias.raw(), ref::tree_sum(biases));
}

}  // namespace
}  // namespace ito::test
