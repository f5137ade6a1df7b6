// SPDX-License-Identifier: Apache-2.0
// See preview.h. DDIM in few steps: enough to see what the network has learned.
#include "engine/run/preview.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/io/image.h"
#include "engine/io/sample_grid.h"
#include "engine/samplers/sampler.h"

namespace ito {
namespace {

constexpr int kImages = 16, kSteps = 20;

ReverseTable table_for(const NoiseSchedule& schedule) {
  SamplingSettings settings;
  settings.steps = std::min(kSteps, schedule.steps());
  return sampling_table(sampler_named("ddim"), schedule, settings);
}

ReverseSettings settings_of(const Trainer& trainer, uint64_t seed, bool capture, size_t memory_limit) {
  ReverseSettings reverse;
  reverse.batch = kImages;
  reverse.seed = seed;
  reverse.memory_limit = memory_limit;
  reverse.capture = capture;
  reverse.compute = trainer.program().options().compute;  // whose kernels are chosen already
  reverse.weights_ready = false;                          // a resumed run has still to upload them
  reverse.delivered = {.numbers = false, .bytes = true};
  return reverse;
}

}  // namespace

Preview::Preview(const Trainer& trainer, const Network& network, const NoiseSchedule& schedule, uint64_t seed,
                 bool capture, size_t memory_limit, const std::vector<float>& labels)
    : network_(network),
      labels_(network.labels == LabelKind::Value ? static_cast<size_t>(kImages * network.label_width) : 0),
      process_(network, table_for(schedule), trainer.ema(), settings_of(trainer, seed, capture, memory_limit)) {
  ITO_CHECK(labels_.empty() || labels.size() >= static_cast<size_t>(network.label_width), "a preview without labels");
  const size_t whole =
      labels.size() / static_cast<size_t>(network.label_width) * static_cast<size_t>(network.label_width);
  for (size_t i = 0; i < labels_.size(); ++i) labels_[i] = labels[i % whole];
}

void Preview::write(Trainer& trainer, const std::string& path) {
  trainer.stream().synchronize();  // the averaged weights are read on another stream
  process_.pack();
  std::vector<int32_t> classes;
  if (network_.labels == LabelKind::Index)
    for (int i = 0; i < kImages; ++i) classes.push_back(i % network_.classes);
  LabelRows labels(classes.empty() ? nullptr : classes.data());
  if (!labels_.empty()) labels.values = labels_.data();
  const DrawnImages drawn = process_.all(0, kImages, nullptr, labels);
  write_png(path, sample_grid(drawn.bytes, kImages, network_.image));
}

void check_preview(const NoiseSchedule& schedule) {
  table_for(schedule);
}

std::string preview_name(int64_t step) {
  return fmt::format("samples-{:06}.png", step);
}

std::optional<int64_t> step_of_preview(const std::string& name) {
  const size_t dash = name.find('-');
  if (dash == std::string::npos) return {};
  int64_t step = 0;
  std::from_chars(name.data() + dash + 1, name.data() + name.size(), step);
  if (name != preview_name(step)) return {};
  return step;
}

}  // namespace ito
