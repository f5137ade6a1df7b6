// SPDX-License-Identifier: Apache-2.0
// Sampling by the adaptive solver as a whole: image i is a function of (seed, i) alone. That it walks the flow is shown
// where that is a closed form, in tests/only/host/test_ode_likelihood.cpp.
#include "engine/reverse/adaptive_process.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/engine/reverse/model_with_weights.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

AdaptivePlan plan_of(const std::vector<std::string>& set = {}, const SchedulerConfig& config = {}) {
  return adaptive_plan(sampler_named("ode45"), NoiseSchedule(config), {.set = set});
}

ReverseSettings settings_of(int batch) {
  ReverseSettings settings;
  settings.batch = batch;
  settings.seed = 77;
  return settings;
}

// Coarse, since the network is called hundreds of times.
const std::vector<std::string> kCoarse = {"rtol=1e-2", "atol=1e-2"};

TEST(AdaptiveProcess, AnImageIsAFunctionOfItsNumber) {
  Model model(R"({"num_class_embeds": 3})");
  const int64_t row = model.network.image.size();
  const auto sample = [&](int batch, int64_t first, int count, bool capture) {
    ReverseSettings settings = settings_of(batch);
    settings.capture = capture;
    AdaptiveProcess process(model.network, plan_of(kCoarse), model.weights.data(), settings);
    std::vector<int32_t> labels(count);
    for (int i = 0; i < count; ++i) labels[i] = static_cast<int32_t>((first + i) % 3);
    std::vector<float> numbers = process.all(first, count, nullptr, labels.data()).numbers;
    EXPECT_EQ(process.thousandths(), process.thousandths_of(count));
    EXPECT_EQ(process.evaluations().size(), static_cast<size_t>(count));
    for (const int evaluations : process.evaluations()) {
      EXPECT_GT(evaluations, 8);
      EXPECT_EQ(evaluations % 6, 3) << "two to begin, six a try, and the estimate of x0";
    }
    return numbers;
  };
  const std::vector<float> all = sample(3, 0, 3, true);
  for (const float x : all) ASSERT_TRUE(std::isfinite(x));
  EXPECT_EQ(sample(3, 0, 3, false), all) << "launched anew";
  EXPECT_EQ(sample(2, 0, 3, true), all) << "by twos, the last batch filled up";
  EXPECT_EQ(sample(1, 2, 1, true), std::vector<float>(all.begin() + 2 * row, all.end())) << "from 2 on";
}

TEST(AdaptiveProcess, GivenNoiseAndBytes) {
  Model model;
  ReverseSettings settings = settings_of(2);
  settings.delivered = {.numbers = true, .bytes = true};
  AdaptiveProcess process(model.network, plan_of(kCoarse), model.weights.data(), settings);
  const std::vector<float> noise = draws(static_cast<size_t>(2 * model.network.image.size()), 4, 1.5f);
  const DrawnImages given = process.all(0, 2, noise.data(), nullptr);
  EXPECT_EQ(process.all(9, 2, noise.data(), nullptr).numbers, given.numbers) << "the noise alone decides";
  EXPECT_NE(process.all(0, 2, nullptr, nullptr).numbers, given.numbers);
  for (size_t i = 0; i < given.numbers.size(); ++i) {
    const float unit = std::min(1.0f, std::max(0.0f, given.numbers[i] / 2 + 0.5f));
    ASSERT_NEAR(given.bytes[i], 255 * unit, 0.5001);
  }
}

TEST(AdaptiveProcess, Refusals) {
  Model model;
  Network tabled = model.network;
  tabled.time = {.rows = 1000, .why = "the network has a table of 1000 timesteps"};
  EXPECT_EQ(user_error([&] { AdaptiveProcess(tabled, plan_of(), model.weights.data(), settings_of(1)); }),
            "sampling: the network has a table of 1000 timesteps, but the probability flow asks at any time; use a "
            "sampler of whole timesteps");
  SchedulerConfig edm;
  edm.family = Family::Edm;
  Network logarithm = model.network;
  logarithm.time = {.positive = true, .why = "the network takes the logarithm of its time"};
  EXPECT_EQ(user_error([&] {
              AdaptiveProcess(logarithm, plan_of({}, edm), model.weights.data(), settings_of(1));
            }).find("sampling: the network takes the logarithm of its time, but the probability flow ends at time -"),
            0u);
  EXPECT_NO_THROW(AdaptiveProcess(logarithm, plan_of(), model.weights.data(), settings_of(1)));
  ReverseSettings small = settings_of(1);
  small.memory_limit = 1000;
  EXPECT_EQ(user_error([&] {
              AdaptiveProcess(model.network, plan_of(), model.weights.data(), small);
            }).find("sampling needs "),
            0u);
  EXPECT_EQ(user_error([] { adaptive_plan(sampler_named("ode45"), NoiseSchedule(SchedulerConfig()), {.steps = 7}); }),
            "sampler ode45: chooses its own steps, and was asked for 7; leave the number out, and set rtol and atol");
  EXPECT_EQ(user_error([] { plan_of({"rtol=0"}); }), "sampler ode45: rtol is 0; expected 1e-07 to 1");
  EXPECT_THROW(sampling_table(sampler_named("ode45"), NoiseSchedule(SchedulerConfig()), {}), Error);
  EXPECT_THROW(adaptive_plan(sampler_named("ddim"), NoiseSchedule(SchedulerConfig()), {}), Error);
}

}  // namespace
}  // namespace ito::test
