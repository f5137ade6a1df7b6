// SPDX-License-Identifier: Apache-2.0
// Learning-rate tables against values of diffusers' get_scheduler (12 digits), and their ends.
#include "engine/training/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/error.h"

namespace ito {
namespace {

LearningRateConfig make_config(const char* schedule, int64_t warmup, int64_t steps) {
  return {.peak = 1e-4, .schedule = learning_rate_of(schedule, ""), .warmup_steps = warmup, .steps = steps};
}

void expect_rate(const LearningRateConfig& config, int64_t step, double expected) {
  EXPECT_NEAR(learning_rate_at(config, step), expected, 1e-11 * 1e-4) << "step " << step;
}

TEST(LearningRate, Cosine) {
  const LearningRateConfig config = make_config("cosine", 500, 2000);
  expect_rate(config, 0, 0);
  expect_rate(config, 1, 2e-7);
  expect_rate(config, 499, 9.98e-5);
  expect_rate(config, 500, 1e-4);
  expect_rate(config, 501, 9.99998903378e-5);
  expect_rate(config, 1000, 7.5e-5);
  expect_rate(config, 1998, 4.38648443118e-10);
  expect_rate(config, 1999, 1.09662231035e-10);
  expect_rate(config, 2000, 0);
  const LearningRateConfig cold = make_config("cosine", 0, 10);
  expect_rate(cold, 0, 1e-4);
  expect_rate(cold, 1, 9.75528258148e-5);
  expect_rate(cold, 9, 2.44717418524e-6);
}

TEST(LearningRate, Linear) {
  const LearningRateConfig config = make_config("linear", 10, 100);
  expect_rate(config, 9, 9e-5);
  expect_rate(config, 10, 1e-4);
  expect_rate(config, 11, 9.88888888889e-5);
  expect_rate(config, 50, 5.55555555556e-5);
  expect_rate(config, 99, 1.11111111111e-6);
  expect_rate(config, 100, 0);
  expect_rate(config, 150, 0);  // never below zero
}

TEST(LearningRate, ConstantAfterWarmup) {
  const LearningRateConfig config = make_config("constant", 7, 20);
  expect_rate(config, 1, 1.42857142857e-5);
  expect_rate(config, 6, 8.57142857143e-5);
  expect_rate(config, 7, 1e-4);
  expect_rate(config, 19, 1e-4);
}

// Counted from the run's first step: the warm-up is part of what the reference bounds, and the run's length of nothing.
TEST(LearningRate, InverseSqrt) {
  for (const int64_t steps : {400, 1000000}) {
    const LearningRateConfig config = make_config("inverse-sqrt:reference=100", 10, steps);
    expect_rate(config, 5, 5e-5);
    expect_rate(config, 10, 1e-4);
    expect_rate(config, 100, 1e-4);
    expect_rate(config, 121, 1e-4 / 1.1);
    expect_rate(config, 144, 1e-4 / 1.2);
    expect_rate(config, 399, 1e-4 / std::sqrt(3.99));
  }
  const LearningRateConfig late = make_config("inverse-sqrt:reference=4", 10, 20);  // past it when the warm-up ends
  expect_rate(late, 9, 9e-5);
  expect_rate(late, 16, 5e-5);
  for (const LearningRate* one : learning_rates())  // longer runs have the same first steps, or say that they stretch
    if (!LearningRateChoice(one, {7}).stretches()) {
      LearningRateConfig shorter = make_config(one->name, 3, 50), longer = make_config(one->name, 3, 500);
      for (int64_t s = 0; s < 50; ++s) EXPECT_EQ(learning_rate_at(shorter, s), learning_rate_at(longer, s));
    }
}

TEST(LearningRate, TableHoldsEveryStepRoundedOnce) {
  const LearningRateConfig config = make_config("cosine", 3, 11);
  const std::vector<float> table = learning_rate_table(config);
  ASSERT_EQ(table.size(), 11u);
  for (int64_t s = 0; s < 11; ++s) EXPECT_EQ(table[s], static_cast<float>(learning_rate_at(config, s)));
  EXPECT_EQ(table[0], 0);
  EXPECT_EQ(table[3], 1e-4f);
  // A run shorter than its warm-up ends while the rate is still rising.
  const std::vector<float> short_run = learning_rate_table(make_config("linear", 10, 4));
  ASSERT_EQ(short_run.size(), 4u);
  EXPECT_EQ(short_run[3], 3e-5f);
}

TEST(LearningRate, NamesAndRefusals) {
  for (const char* name : {"constant", "linear", "cosine"}) EXPECT_EQ(learning_rate_of(name, "").text(), name);
  EXPECT_EQ(learning_rate_of("inverse-sqrt", "").text(), "inverse-sqrt:reference=70000");
  EXPECT_EQ(LearningRateChoice().text(), "cosine");
  EXPECT_THROW(learning_rate_of("cosin", "--lr-schedule"), UserError);
  EXPECT_THROW(learning_rate_of("inverse-sqrt:reference=0", "--lr-schedule"), UserError);
  EXPECT_THROW(learning_rate_of("cosine:reference=9", "--lr-schedule"), UserError);
  EXPECT_THROW(learning_rate_table(make_config("linear", -1, 4)), UserError);
  EXPECT_THROW(learning_rate_table(make_config("linear", 0, -4)), UserError);
  LearningRateConfig negative = make_config("linear", 0, 4);
  negative.peak = -1;
  EXPECT_THROW(learning_rate_table(negative), UserError);
}

}  // namespace
}  // namespace ito
