// SPDX-License-Identifier: Apache-2.0
// Labels dropped, against the draws on the host: a label's fate is a function of the image's number alone.
#include "kernels/diffusion/class_labels.h"

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

constexpr int kBatch = 1000, kStep = 3, kNone = 9;
constexpr float kChance = 0.25f;

// Images first .. first+n-1 of the step's; all were of class 4.
std::vector<int32_t> dropped(int first, int n, float chance = kChance) {
  Stream stream;
  DeviceArray<int32_t> labels(stream, n);
  set_labels(stream, labels, 4, n);
  DeviceArray<int64_t> step(stream, Values{kStep});
  drop_labels(stream, labels, chance, kNone, SampleCounter::of_training(11, step, kBatch, first), n);
  return labels.raw();
}

TEST(DropLabels, IsTheImagesOwnDraw) {
  std::vector<int32_t> want;
  int count = 0;
  for (uint32_t i = 0; i < kBatch; ++i) {
    const uint32_t bits = philox4x32(11, 0, 0, kStep * kBatch + i, 15).v[0];
    want.push_back(uniform01(bits) < kChance ? kNone : 4);
    count += want.back() == kNone;
  }
  EXPECT_EQ(dropped(0, kBatch), want);
  // Five standard deviations of a binomial.
  EXPECT_NEAR(count, kBatch * kChance, 5 * std::sqrt(kBatch * kChance * (1 - kChance)));
  for (const auto& [first, n] : {std::pair{0, 1}, {17, 33}, {999, 1}})
    EXPECT_EQ(dropped(first, n), std::vector<int32_t>(want.begin() + first, want.begin() + first + n)) << first;
  EXPECT_EQ(dropped(0, kBatch, 0), std::vector<int32_t>(kBatch, 4));
  EXPECT_EQ(dropped(0, kBatch, 1), std::vector<int32_t>(kBatch, kNone));
  EXPECT_THROW(dropped(0, 1, 1.5f), Error);
}

}  // namespace
}  // namespace ito::test
