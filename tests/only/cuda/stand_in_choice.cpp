// SPDX-License-Identifier: Apache-2.0
// Which of the stand-in's engines a layer and an attention take: the first that keeps every promise.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "kernels/seams/conv.h"
#include "tests/cases/attention.h"
#include "tests/kernels/op_test.h"
#include "tests/only/cuda/stand_in_cudnn.h"

namespace ito::test {
namespace {

// Before main: the seams' tests, in the same program, are to reach the library.
[[maybe_unused]] const int asked = setenv("ITO_CUDNN_ATTENTION", "1", 1), alone = setenv("ITO_TENSOR_KERNELS", "0", 1);

bool was_run(StandInEngine engine) {
  const std::vector<int>& run = stand_in_engines_run();
  return std::find(run.begin(), run.end(), engine) != run.end();
}

TEST(ConvOnStandIn, TakesTheFirstEngineThatKeepsEveryPromise) {
  for (const DType type : {DType::F32, DType::BF16}) {
    const ConvLayer layer("layer", {9, 7, 16, 24, 3, 3, 2, 0, 1, 1, 2}, type, {true, true});
    // Where there is one N no knob cuts by it, and this stand-in's data gradient has no bits that change with a batch.
    EXPECT_EQ(layer.implementations(),
              "forward=cudnn:engine 9, knobs 2=19 data=cudnn:engine 8, knobs 2=18 weight=cudnn:engine 4, knobs 38=14");
  }
  for (const StandInEngine engine : {kWrong, kBatchChangesBits, kManyChangeBits, kGood})
    EXPECT_TRUE(was_run(engine)) << engine;
  for (const StandInEngine engine : {kNotDeterministic, kRefuses, kHoldsParts}) EXPECT_FALSE(was_run(engine)) << engine;
}

// For every N that is really used, not for those alone that were looked at when the engine was chosen.
TEST(ConvOnStandIn, AWorkspaceThatMayHoldPartsOfSumsIsAnError) {
  const ConvLayer layer("narrow", {6, 5, 8, 8, 3, 3, 1, 1, 1, 1, 1}, DType::F32, {true, true});
  EXPECT_GT(layer.forward_workspace(6), 0u);
  stand_in_holds_parts_at(7);
  for (const bool forward : {true, false}) {
    try {
      forward ? layer.forward_workspace(7) : layer.backward_data_workspace(7);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      const std::string text = error.what();
      for (const char* part : {"conv narrow", forward ? "forward" : "data gradient", "7 images", "parts of sums"})
        EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
    }
  }
  stand_in_holds_parts_at(0);
  EXPECT_GT(layer.forward_workspace(7), 0u);
}

TEST(AttentionOnStandIn, TakesTheFirstEngineThatKeepsEveryPromise) {
  if (!device_has_bf16()) GTEST_SKIP() << "no bf16";
  Stream stream;
  const AttentionShape s = cases::attention(5, 19, 2, 16);
  const size_t count = size_t{5} * 19 * 2 * 16;
  const DeviceArray<bf16> in(stream, random_values(count, 1));
  DeviceArray<bf16> out(stream, count);
  DeviceArray<float> lse(stream, size_t{5} * 19 * 2);
  attention_forward(stream, out.data(), lse, in.data(), in.data(), in.data(), s, nullptr);
  EXPECT_EQ(stand_in_last_attention(), kGood);
}

}  // namespace
}  // namespace ito::test
