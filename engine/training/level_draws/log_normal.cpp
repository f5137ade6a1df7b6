// SPDX-License-Identifier: Apache-2.0
// Log-normal noise (Karras et al. 2022, table 1): ln s ~ N(mean, std^2), s = sigma / alpha, each draw given to the
// timestep whose ln s is nearest: the first and the last have what lies beyond them. Pure noise (s infinite) is nearest
// to nothing and never drawn.
#include <cmath>

#include "engine/training/level_draw.h"

namespace ito {
namespace {

std::vector<double> log_normal(const Levels& levels, std::span<const double> values) {
  std::vector<double> cumulative;
  const auto log_s = [&](int i) { return std::log(levels.at(i).s()); };
  for (int i = 0; i + 1 < levels.steps(); ++i)
    cumulative.push_back(normal_below(((log_s(i) + log_s(i + 1)) / 2 - values[0]) / values[1]));
  cumulative.push_back(1);
  return cumulative;
}

constexpr ChoiceNumber kNumbers[] = {{"mean", -1.2, -100, 100, "of ln(sigma / alpha)"},
                                     {"std", 1.2, 1e-3, 1e3, "its deviation"}};
constexpr Family kUsualFor[] = {Family::Edm};

}  // namespace

extern const LevelDraw kLogNormalDraw;
const LevelDraw kLogNormalDraw = {
    .name = "log-normal",
    .summary = "noise of log-normal size; Karras et al. 2022",
    .numbers = kNumbers,
    .usual_for = kUsualFor,
    .cumulative = log_normal,
};

}  // namespace ito
