// SPDX-License-Identifier: Apache-2.0
// The learning rate of every step, as a table made before training: a linear warm-up, then a schedule by name.
// To add a schedule: one file beside learning_rates/cosine.cpp that defines a LearningRate, and its line in
// learning_rate.cpp.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/named_choice.h"

namespace ito {

// Where a step stands, in steps: s = 0 .. N-1, W of warm-up, N in all; s >= W.
struct RatePlace {
  double step, warmup, steps;
  // (s - W) / max(1, N - W)
  double progress() const { return (step - warmup) / (steps - warmup > 1 ? steps - warmup : 1); }
};

struct LearningRate {
  const char* name;
  const char* summary;
  std::span<const ChoiceNumber> numbers;
  bool stretches;  // with the run's length: another number of steps is then another run
  double (*share)(const RatePlace& place, std::span<const double> values);  // of the peak, after the warm-up
};

std::span<const LearningRate* const> learning_rates();
std::vector<std::string> learning_rate_names();
std::vector<std::string> learning_rate_lines();  // what each is and the numbers it takes, for help

// A schedule with its numbers.
class LearningRateChoice {
 public:
  LearningRateChoice();  // cosine
  LearningRateChoice(const LearningRate* schedule, std::vector<double> values)
      : schedule_(schedule), values_(std::move(values)) {}

  std::string text() const;  // "inverse-sqrt:reference=70000"
  bool stretches() const { return schedule_->stretches; }
  double share(const RatePlace& place) const { return schedule_->share(place, values_); }

 private:
  const LearningRate* schedule_;
  std::vector<double> values_;
};

// "name" or "name:key=value,..."; `where` (a file or an option) begins the UserError for what is not known.
LearningRateChoice learning_rate_of(std::string_view text, const std::string& where);

struct LearningRateConfig {
  double peak = 1e-4;
  LearningRateChoice schedule;
  int64_t warmup_steps = 500;
  int64_t steps = 0;  // N
};

// At step s < W: peak s / W (so the very first step changes nothing); then peak times the schedule's share.
double learning_rate_at(const LearningRateConfig& config, int64_t step);
std::vector<float> learning_rate_table(const LearningRateConfig& config);  // (N)

}  // namespace ito
