// SPDX-License-Identifier: Apache-2.0
// Attention on tensor cores under hostile orders of blocks, warps and lanes: the same bits, and no finding.
#include <gtest/gtest.h>

#include "kernels/dialect/sim/executor.h"
#include "kernels/nn/attention_sm80.h"
#include "tests/cases/attention.h"
#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

std::string bits_of(const AttentionShape& s, SimSchedule kind, uint64_t seed) {
  sim_set_schedule(kind, seed);
  Stream stream;
  const AttentionLayout layout = AttentionLayout::separate(s);
  const size_t count = size_t(s.n) * s.tokens * s.heads * s.head_dim;
  const DeviceArray<bf16> q(stream, random_values(count, 1)), k(stream, random_values(count, 2)),
      v(stream, random_values(count, 3)), dout(stream, random_values(count, 4));
  const DeviceArray<bf16> out(stream, count), dq(stream, count), dk(stream, count), dv(stream, count);
  const DeviceArray<float> lse(stream, size_t(s.n) * s.heads * s.tokens);
  const DeviceArray<char> workspace(stream, attention_sm80_workspace(s));
  attention_sm80_forward(stream, out.data(), lse, q.data(), k.data(), v.data(), s, layout);
  attention_sm80_backward(stream, dq.data(), dk.data(), dv.data(), dout.data(), out.data(), lse, q.data(), k.data(),
                          v.data(), s, layout, workspace.data());
  return out.bits() + lse.bits() + dq.bits() + dk.bits() + dv.bits();
}

TEST(AttentionSm80Schedules, TheSameBitsInEveryOrder) {
  for (const AttentionShape& s : {cases::attention(1, 140, 2, 64), cases::attention(1, 40, 1, 256)}) {
    const std::string want = bits_of(s, SimSchedule::Forward, 0);
    EXPECT_TRUE(bits_of(s, SimSchedule::Reverse, 0) == want);
    EXPECT_TRUE(bits_of(s, SimSchedule::Seeded, 7) == want);
  }
  sim_set_schedule(SimSchedule::Forward);
}

}  // namespace
}  // namespace ito::test
