// SPDX-License-Identifier: Apache-2.0
// The list of reverse options.
#include "engine/diffusion/options/option.h"

#include <algorithm>
#include <cmath>

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {

extern const ReverseOption kDirect, kX0Mix, kPosterior, kMarginal, kVlb;

namespace {

constexpr const ReverseOption* kOptions[] = {&kDirect, &kX0Mix, &kPosterior, &kMarginal, &kVlb};

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const ReverseOption* option : kOptions) all.emplace_back(option->name);
  return all;
}

}  // namespace

std::span<const ReverseOption* const> reverse_options() {
  return kOptions;
}

const ReverseOption& reverse_option_named(std::string_view name, const std::string& where) {
  for (const ReverseOption* option : kOptions)
    if (option->name == name) return *option;
  fail<UserError>(where, ": reverse ", quote_name(name), " is not known; use one of ", reverse_option_names(),
                  did_you_mean(name, names()));
}

std::string reverse_option_names() {
  std::string text;
  for (const std::string& name : names()) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::vector<std::string> reverse_option_lines() {
  std::vector<std::string> lines;
  for (const ReverseOption* option : kOptions) {
    std::string help = option->help;
    for (size_t end = help.find('\n'); end != std::string::npos; end = help.find('\n', end + 1))
      help.insert(end + 1, "    ");
    lines.push_back(std::string(option->name) + ": " + help);
  }
  return lines;
}

const LevelStatistics& TransitionProblem::measured() const {
  ITO_USER_CHECK(statistics, who,
                 ": needs what was measured of the network by timestep, and the model has no level_statistics.json; "
                 "measure it with reverse-stats");
  return *statistics;
}

Transition posterior_step(const TransitionProblem& p) {
  const Posterior q = gaussian_posterior(p.from.abar, p.to.abar);
  Transition transition{.x = q.from_x, .x0 = q.from_x0};
  set_posterior_variance(transition, p);
  return transition;
}

void set_posterior_variance(Transition& transition, const TransitionProblem& p) {
  const Posterior q = gaussian_posterior(p.from.abar, p.to.abar);
  // The floor keeps the logarithm finite where the posterior is a point (a last step from a timestep above 0).
  const double small = std::max(q.variance, 1e-20);
  switch (p.config.variance_type) {
    case VarianceType::FixedSmall:
    case VarianceType::FixedSmallLog:
      transition.std = std::sqrt(small);
      break;
    case VarianceType::FixedLarge:
    case VarianceType::FixedLargeLog:
      transition.std = std::sqrt(q.beta);
      break;
    case VarianceType::LearnedRange:
      transition.learned = true;
      transition.log_variance_high = std::log(q.beta);
      transition.log_variance_low = std::log(small);
      break;
  }
}

}  // namespace ito
