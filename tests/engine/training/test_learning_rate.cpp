// SPDX-License-Identifier: Apache-2.0
// Learning-rate tables against values of diffusers' get_scheduler (12 digits), and their ends.
#include "engine/training/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/error.h"

namespace ito {
namespace {

LearningRateConfig make_config(LearningRateShape shape, int64_t warmup, int64_t steps) {
  return {.peak = 1e-4, .shape = shape, .warmup_steps = warmup, .steps = steps};
}

void expect_rate(const LearningRateConfig& config, int64_t step, double expected) {
  EXPECT_NEAR(learning_rate_at(config, step), expected, 1e-11 * 1e-4) << "step " << step;
}

TEST(LearningRate, Cosine) {
  const LearningRateConfig config = make_config(LearningRateShape::Cosine, 500, 2000);
  expect_rate(config, 0, 0);
  expect_rate(config, 1, 2e-7);
  expect_rate(config, 499, 9.98e-5);
  expect_rate(config, 500, 1e-4);
  expect_rate(config, 501, 9.99998903378e-5);
  expect_rate(config, 1000, 7.5e-5);
  expect_rate(config, 1998, 4.38648443118e-10);
  expect_rate(config, 1999, 1.09662231035e-10);
  expect_rate(config, 2000, 0);
  const LearningRateConfig cold = make_config(LearningRateShape::Cosine, 0, 10);
  expect_rate(cold, 0, 1e-4);
  expect_rate(cold, 1, 9.75528258148e-5);
  expect_rate(cold, 9, 2.44717418524e-6);
}

TEST(LearningRate, Linear) {
  const LearningRateConfig config = make_config(LearningRateShape::Linear, 10, 100);
  expect_rate(config, 9, 9e-5);
  expect_rate(config, 10, 1e-4);
  expect_rate(config, 11, 9.88888888889e-5);
  expect_rate(config, 50, 5.55555555556e-5);
  expect_rate(config, 99, 1.11111111111e-6);
  expect_rate(config, 100, 0);
  expect_rate(config, 150, 0);  // never below zero
}

TEST(LearningRate, ConstantAfterWarmup) {
  const LearningRateConfig config = make_config(LearningRateShape::Constant, 7, 20);
  expect_rate(config, 1, 1.42857142857e-5);
  expect_rate(config, 6, 8.57142857143e-5);
  expect_rate(config, 7, 1e-4);
  expect_rate(config, 19, 1e-4);
}

TEST(LearningRate, TableHoldsEveryStepRoundedOnce) {
  const LearningRateConfig config = make_config(LearningRateShape::Cosine, 3, 11);
  const std::vector<float> table = learning_rate_table(config);
  ASSERT_EQ(table.size(), 11u);
  for (int64_t s = 0; s < 11; ++s) EXPECT_EQ(table[s], static_cast<float>(learning_rate_at(config, s)));
  EXPECT_EQ(table[0], 0);
  EXPECT_EQ(table[3], 1e-4f);
  // A run shorter than its warm-up ends while the rate is still rising.
  const std::vector<float> short_run = learning_rate_table(make_config(LearningRateShape::Linear, 10, 4));
  ASSERT_EQ(short_run.size(), 4u);
  EXPECT_EQ(short_run[3], 3e-5f);
}

TEST(LearningRate, NamesAndRefusals) {
  for (const char* name : {"constant", "linear", "cosine"}) EXPECT_EQ(name_of(learning_rate_shape_of(name, "")), name);
  EXPECT_EQ(learning_rate_shape_of("linear", ""), LearningRateShape::Linear);
  EXPECT_THROW(learning_rate_shape_of("cosin", "--lr-scheduler"), UserError);
  EXPECT_THROW(learning_rate_table(make_config(LearningRateShape::Linear, -1, 4)), UserError);
  EXPECT_THROW(learning_rate_table(make_config(LearningRateShape::Linear, 0, -4)), UserError);
  LearningRateConfig negative = make_config(LearningRateShape::Linear, 0, 4);
  negative.peak = -1;
  EXPECT_THROW(learning_rate_table(negative), UserError);
}

}  // namespace
}  // namespace ito
