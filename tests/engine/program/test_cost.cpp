// SPDX-License-Identifier: Apache-2.0
// Operations and bytes of ops against counts by hand.
#include "engine/program/cost.h"

#include <gtest/gtest.h>

#include "engine/ops/ops.h"

namespace ito {
namespace {

void expect_cost(const Program& program, int op, Part part, double flop, double numbers) {
  const Cost cost = cost_of(program, op, part);
  EXPECT_EQ(cost.flop, flop) << program.ops()[op]->name;
  EXPECT_EQ(cost.bytes, 4 * numbers) << program.ops()[op]->name;
}

// Two images of 4x4 with 3 channels; a convolution to 8, a norm, attention of 16 tokens with itself, a sum.
TEST(Cost, OfATrainedProgramByHand) {
  Program p({.n = 2, .mode = Mode::Training, .compute = DType::F32});
  const Value image = p.input("image", 4, 4, 3, DType::F32);
  Conv2dOptions options;
  options.k = 8;
  const Value conv = conv2d(p, "conv", image, options);
  const Value norm = group_norm(p, "norm", conv, {.groups = 2});
  const Value mixed = attention(p, "attention", norm, norm, norm, 2);
  p.set_output(add(p, "add", mixed, conv));
  p.finish();

  const double in = 2 * 16 * 3, t = 2 * 16 * 8, w = 8 * 3 * 9 + 8;
  const double product = 2.0 * t * 3 * 9;
  expect_cost(p, 0, Part::Forward, product, in + w + t);
  expect_cost(p, 0, Part::Data, 0, 0);  // nobody wants the image's gradient
  expect_cost(p, 0, Part::Weight, product, t + in + w);
  const double statistics = 2 * 2 * 2;
  expect_cost(p, 1, Part::Forward, 0, t + 16 + t + statistics);
  // dy, x, gamma and beta and their gradients, statistics; dx is added to the sum's.
  expect_cost(p, 1, Part::Data, 0, t + t + 16 + 16 + statistics + 2 * t);
  expect_cost(p, 1, Part::Weight, 0, 0);
  const double scores = 2.0 * 2 * 2 * 16 * 16 * 4, lse = 2 * 2 * 16;
  expect_cost(p, 2, Part::Forward, 2 * scores, 3 * t + t + lse);
  // q, k, v, the result and its gradient, the sums; the first gradient of the one input is set, two are added.
  expect_cost(p, 2, Part::Data, 5 * scores, t + 3 * t + t + lse + 5 * t);
  expect_cost(p, 3, Part::Forward, 0, 3 * t);
  expect_cost(p, 3, Part::Data, 0, t + 2 * t);
  const Cost forward = cost_of(p, Part::Forward);
  EXPECT_EQ(forward.flop, product + 2 * scores);
}

TEST(Cost, OfRowsAndOfWhatIsNotRun) {
  Program p({.n = 3, .mode = Mode::Inference, .compute = DType::F32});
  const Value rows = p.input("rows", 1, 1, 5, DType::F32);
  p.set_output(linear_rows(p, "linear", rows, 7, true));
  p.finish();
  expect_cost(p, 0, Part::Forward, 2 * 3 * 5 * 7, 3 * 5 + 5 * 7 + 7 + 3 * 7);
  expect_cost(p, 0, Part::Data, 0, 0);
  expect_cost(p, 0, Part::Weight, 0, 0);
}

}  // namespace
}  // namespace ito
