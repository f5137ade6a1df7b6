// SPDX-License-Identifier: Apache-2.0
// One more sampler, planted here with an option of its own: its table is made, its option set, its rows run on the
// device, and no file of the product had to know it.
#include <gtest/gtest.h>

#include "engine/io/input_file.h"
#include "engine/reverse/reverse_process.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/engine/reverse/model_with_weights.h"

namespace ito::test {
namespace {

// Shrinks the state by a factor a step and remembers where it came from; the network is asked and not listened to.
ReverseTable shrink(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Vp, p.clip);
  const Register before = rows.reserve();
  for (int i = 0; i < p.steps(); ++i) {
    rows.call(p.node(i)).set(before).x(1).state().x(p.option("factor"));
    if (i > 0) rows.reg(before, 1);
  }
  return rows.table();
}

constexpr SamplerOption kOptions[] = {{"factor", 0.5, 0, 1, "what is left of the state after a step"}};

const Sampler kPlanted = {.name = "planted",
                          .summary = "shrinks",
                          .usual_steps = 3,
                          .grid = GridKind::Whole,
                          .clips = false,
                          .divides_alpha = false,
                          .options = kOptions,
                          .scheduler_classes = {},
                          .fixed = {},
                          .class_defaults = nullptr,
                          .table = shrink};

TEST(PlantedSampler, RunsWithItsOption) {
  Model model;
  const NoiseSchedule schedule{SchedulerConfig{}};
  for (const float factor : {0.5f, 0.25f}) {
    SamplingSettings settings;
    if (factor != 0.5f) settings.set = {"factor=0.25"};
    const ReverseTable table = sampling_table(kPlanted, schedule, settings);
    ASSERT_EQ(table.rows.size(), 3u);
    ReverseSettings reverse;
    reverse.batch = 2;
    ReverseProcess process(model.network, table, model.weights.data(), reverse);
    const size_t count = 2 * model.network.image.size();
    std::vector<float> noise(count);
    for (size_t i = 0; i < count; ++i) noise[i] = 0.01f * static_cast<float>(i) - 1;
    const std::vector<float> drawn = process.all(0, 2, noise.data(), nullptr).numbers;
    for (size_t i = 0; i < count; ++i) {
      const float first = factor * noise[i];                           // the register holds the noise
      const float second = std::fmaf(1.0f, noise[i], factor * first);  // and then the state after one step
      EXPECT_EQ(drawn[i], std::fmaf(1.0f, first, factor * second)) << i;
    }
  }
}

TEST(PlantedSampler, RefusesWhatItDoesNotHave) {
  const NoiseSchedule schedule{SchedulerConfig{}};
  const auto message = [&](const char* setting) {
    return message_of([&] { sampling_table(kPlanted, schedule, {.set = {setting}}); });
  };
  EXPECT_NE(message("factr=0.25").find("factor"), std::string::npos) << message("factr=0.25");
  EXPECT_NE(message("factor=2").find("0 to 1"), std::string::npos) << message("factor=2");
}

}  // namespace
}  // namespace ito::test
