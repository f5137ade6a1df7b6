// SPDX-License-Identifier: Apache-2.0
// The list of learning-rate schedules, and the table of a run.
#include "engine/training/learning_rate.h"

#include <cmath>

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {

extern const LearningRate kConstantRate, kLinearRate, kCosineRate, kInverseSqrtRate;

namespace {

constexpr const LearningRate* kRates[] = {&kConstantRate, &kLinearRate, &kCosineRate, &kInverseSqrtRate};

}  // namespace

std::span<const LearningRate* const> learning_rates() {
  return kRates;
}

std::vector<std::string> learning_rate_names() {
  std::vector<std::string> names;
  for (const LearningRate* one : kRates) names.emplace_back(one->name);
  return names;
}

std::vector<std::string> learning_rate_lines() {
  std::vector<std::string> lines;
  for (const LearningRate* one : kRates)
    for (std::string& line : choice_lines(one->name, one->summary, one->numbers)) lines.push_back(std::move(line));
  return lines;
}

LearningRateChoice::LearningRateChoice() : schedule_(&kCosineRate) {}

std::string LearningRateChoice::text() const {
  return choice_text(schedule_->name, schedule_->numbers, values_);
}

LearningRateChoice learning_rate_of(std::string_view text, const std::string& where) {
  for (const LearningRate* one : kRates)
    if (one->name == choice_name(text)) return {one, choice_values(text, one->numbers, where)};
  fail<UserError>(where, ": ", quote_name(choice_name(text)), " is not known; use one of ",
                  list_names(learning_rate_names()), did_you_mean(choice_name(text), learning_rate_names()));
}

double learning_rate_at(const LearningRateConfig& config, int64_t step) {
  const RatePlace place{static_cast<double>(step), static_cast<double>(config.warmup_steps),
                        static_cast<double>(config.steps)};
  if (step < config.warmup_steps) return config.peak * place.step / place.warmup;
  return config.peak * config.schedule.share(place);
}

std::vector<float> learning_rate_table(const LearningRateConfig& config) {
  ITO_USER_CHECK(config.peak >= 0 && std::isfinite(config.peak), "learning rate is ", config.peak,
                 "; expected a number, 0 or more");
  ITO_USER_CHECK(config.warmup_steps >= 0, "learning rate: warm-up is ", config.warmup_steps,
                 " steps; expected 0 or more");
  ITO_USER_CHECK(config.steps >= 0, "learning rate: the run is ", config.steps, " steps; expected 0 or more");
  std::vector<float> table(static_cast<size_t>(config.steps));
  for (int64_t s = 0; s < config.steps; ++s) table[s] = static_cast<float>(learning_rate_at(config, s));
  return table;
}

}  // namespace ito
