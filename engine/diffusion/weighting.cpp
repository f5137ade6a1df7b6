// SPDX-License-Identifier: Apache-2.0
// The list of weightings, and what a weight of eps or of x0 is for another quantity.
#include "engine/diffusion/weighting.h"

#include <cmath>

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {

extern const Weighting kUnweighted, kSnrWeighting, kMinSnrWeighting, kSoftMinSnrWeighting, kP2Weighting, kEdmWeighting,
    kVelocityWeighting;

namespace {

constexpr const Weighting* kWeightings[] = {&kUnweighted,  &kSnrWeighting, &kMinSnrWeighting,  &kSoftMinSnrWeighting,
                                            &kP2Weighting, &kEdmWeighting, &kVelocityWeighting};

double square(double x) {
  return x * x;
}

// (alpha / d)^2 and (sigma / d)^2 with d = alpha q - sigma p. A quantity that is x0 or eps alone has cancelled what
// would be 0 / 0 at pure noise or clean data.
ErrorWeights gains(Combination predicted, Mixing m) {
  const double p = predicted.x0, q = predicted.eps;
  if (p == 0) return {square(1 / q), square(m.sigma / (m.alpha * q))};
  if (q == 0) return {square(m.alpha / (m.sigma * p)), square(1 / p)};
  const double d = m.alpha * q - m.sigma * p;
  return {square(m.alpha / d), square(m.sigma / d)};
}

}  // namespace

std::span<const Weighting* const> weightings() {
  return kWeightings;
}

std::vector<std::string> weighting_names() {
  std::vector<std::string> names;
  for (const Weighting* one : kWeightings) names.emplace_back(one->name);
  return names;
}

std::vector<std::string> weighting_lines() {
  std::vector<std::string> lines;
  for (const Weighting* one : kWeightings)
    for (std::string& line : choice_lines(one->name, one->summary, one->numbers)) lines.push_back(std::move(line));
  return lines;
}

std::string LossWeighting::text() const {
  return weighting_ ? choice_text(weighting_->name, weighting_->numbers, values_) : kUnweighted.name;
}

double LossWeighting::weight(const Level& level, const Target& target) const {
  if (!weighting_ || !weighting_->weights) return target.weight;
  const ErrorWeights given = weighting_->weights(square(level.alpha / level.sigma), values_);
  const ErrorWeights gain = gains(target.answer, {target.input_x0, std::hypot(target.input_eps, target.input_eps2)});
  if (std::isfinite(given.eps) && std::isfinite(gain.eps)) return given.eps * gain.eps;
  return given.x0 * gain.x0;
}

LossWeighting loss_weighting_of(std::string_view text, const SchedulerConfig& config, const std::string& where) {
  const std::string_view name = choice_name(text);
  for (const Weighting* one : kWeightings) {
    if (one->name != name) continue;
    std::vector<ChoiceNumber> numbers(one->numbers.begin(), one->numbers.end());
    const Json model = scheduler_config_json(config);
    for (ChoiceNumber& number : numbers) number.usual = model.value(number.key, number.usual);
    return {one, choice_values(text, numbers, where)};
  }
  fail<UserError>(where, ": ", quote_name(name), " is not known; use one of ", list_names(weighting_names()),
                  did_you_mean(name, weighting_names()));
}

}  // namespace ito
