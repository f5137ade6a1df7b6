// SPDX-License-Identifier: Apache-2.0
// How an attention of matrix products is cut: any number of images at a time gives the same bits, and where one image's
// scores are too large the portable kernels run. Its values are the attention seam's test, in sim and on a GPU.
#include "kernels/seams/lanes/own_attention.h"

#include "kernels/nn/attention.h"
#include "tests/cases/attention.h"
#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

template <class T>
struct Run {
  DeviceArray<T> q, k, v, dout, out, dq, dk, dv;
  DeviceArray<float> lse;
  Run(Stream& stream, const AttentionShape& s)
      : q(stream, input(s, 1)),
        k(stream, input(s, 2)),
        v(stream, input(s, 3)),
        dout(stream, input(s, 4)),
        out(stream, q.size()),
        dq(stream, q.size()),
        dk(stream, q.size()),
        dv(stream, q.size()),
        lse(stream, size_t(s.n) * s.heads * s.tokens) {}
  static Values input(const AttentionShape& s, uint64_t seed) {
    return random_values(size_t(s.n) * s.tokens * s.heads * s.head_dim, seed);
  }
  void run(Stream& stream, const AttentionShape& s, size_t most) {
    const DeviceArray<char> forward(stream, own_attention_forward_workspace(s, dtype_of<T>, most));
    const DeviceArray<char> backward(stream, own_attention_backward_workspace(s, dtype_of<T>, most));
    own_attention_forward(stream, out.data(), lse, q.data(), k.data(), v.data(), s, forward.data(), most);
    own_attention_backward(stream, dq.data(), dk.data(), dv.data(), dout.data(), out.data(), lse, q.data(), k.data(),
                           v.data(), s, backward.data(), most);
  }
  void run_portable(Stream& stream, const AttentionShape& s) {
    const DeviceArray<char> workspace(stream, attention_portable_workspace(s));
    attention_portable_forward(stream, out.data(), lse, q.data(), k.data(), v.data(), s);
    attention_portable_backward(stream, dq.data(), dk.data(), dv.data(), dout.data(), out.data(), lse, q.data(),
                                k.data(), v.data(), s, workspace.data());
  }
  std::string bits() const { return out.bits() + lse.bits() + dq.bits() + dk.bits() + dv.bits(); }
};

template <class T>
class OwnAttention : public ::testing::Test {
 public:
  void SetUp() override {
    if (dtype_of<T> == DType::BF16 && !device_has_bf16()) GTEST_SKIP() << "no bf16 products on this processor";
  }
};
TYPED_TEST_SUITE(OwnAttention, StorageTypes);

// An image of 2 heads of 19 tokens: 2 x 19 rows of 32 numbers.
constexpr size_t kImage = 2 * 19 * 32 * sizeof(float);

TYPED_TEST(OwnAttention, AnyNumberOfImagesAtATimeGivesTheSameBits) {
  Stream stream;
  const AttentionShape s = cases::attention(5, 19, 2, 24);
  Run<TypeParam> whole(stream, s);
  whole.run(stream, s, kMostScores);
  for (const auto& [most, images] : {std::pair{kImage, 1}, {2 * kImage, 2}, {4 * kImage - 1, 3}, {6 * kImage, 5}}) {
    ASSERT_EQ(own_attention_images(s, most), images);
    Run<TypeParam> some(stream, s);
    some.run(stream, s, most);
    EXPECT_TRUE(some.bits() == whole.bits()) << images << " at a time";
  }
}

TYPED_TEST(OwnAttention, ScoresThatAreTooLargeAreNotKept) {
  Stream stream;
  const AttentionShape s = cases::attention(3, 19, 2, 24);
  ASSERT_EQ(own_attention_images(s, kImage - 1), 0);
  Run<TypeParam> some(stream, s), portable(stream, s);
  some.run(stream, s, kImage - 1);
  portable.run_portable(stream, s);
  EXPECT_TRUE(some.bits() == portable.bits());
}

TEST(OwnAttentionMemory, IsThatOfTheImagesAtATime) {
  const AttentionShape s = cases::attention(5, 19, 2, 24);
  EXPECT_EQ(own_attention_forward_workspace(s, DType::F32), aligned(5 * kImage));
  EXPECT_EQ(own_attention_forward_workspace(s, DType::F32, 2 * kImage), aligned(2 * kImage));
  EXPECT_EQ(own_attention_forward_workspace(s, DType::BF16, kImage), aligned(kImage) + aligned(kImage / 2));
  EXPECT_EQ(own_attention_backward_workspace(s, DType::F32, kImage), 2 * aligned(kImage));
  EXPECT_EQ(own_attention_backward_workspace(s, DType::BF16, kImage), 2 * (aligned(kImage) + aligned(kImage / 2)));
  EXPECT_EQ(own_attention_forward_workspace(s, DType::BF16, 1), 0u);
  EXPECT_EQ(own_attention_backward_workspace(s, DType::BF16, 1), attention_portable_workspace(s));
  // The choice between kernels does not know n: 8 heads of 4096 tokens are too much, 8 of 1024 are not.
  for (const int n : {1, 128}) {
    EXPECT_EQ(own_attention_images(cases::attention(n, 4096, 8, 64)), 0);
    EXPECT_GT(own_attention_images(cases::attention(n, 1024, 8, 64)), 0);
  }
}

TEST(OwnAttentionChecks, RefusesWhatNoDeviceTakes) {
  Stream stream;
  DeviceArray<float> x(stream, 1024);
  const auto forward = [&](const AttentionShape& s) {
    own_attention_forward(stream, x.data(), x, x.data(), x.data(), x.data(), s, x.data());
  };
  EXPECT_THROW(forward(cases::attention(1, 1, 1, 513)), Error);
  EXPECT_THROW(forward(cases::attention(1, 1, 0, 8)), Error);
  EXPECT_THROW(forward(cases::attention(65536, 1, 1, 8)), Error);
}

}  // namespace
}  // namespace ito::test
