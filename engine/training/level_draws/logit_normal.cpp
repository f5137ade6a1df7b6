// SPDX-License-Identifier: Apache-2.0
// Logit-normal time (Esser et al. 2024, eq. 19): ln(u / (1 - u)) ~ N(mean, std^2), u in (0, 1) the time of the process,
// of which timestep i is the part from i / T to (i + 1) / T. The middle of the process is drawn most, its ends hardly.
#include <cmath>

#include "engine/training/level_draw.h"

namespace ito {
namespace {

std::vector<double> logit_normal(const Levels& levels, std::span<const double> values) {
  std::vector<double> cumulative;
  const double count = levels.steps();
  for (int i = 1; i <= levels.steps(); ++i)
    cumulative.push_back(i == levels.steps() ? 1 : normal_below((std::log(i / (count - i)) - values[0]) / values[1]));
  return cumulative;
}

constexpr ChoiceNumber kNumbers[] = {{"mean", 0, -100, 100, "of the logit; above 0: noisier"},
                                     {"std", 1, 1e-3, 1e3, "its deviation"}};
constexpr Family kUsualFor[] = {Family::Flow};

}  // namespace

extern const LevelDraw kLogitNormalDraw;
const LevelDraw kLogitNormalDraw = {
    .name = "logit-normal",
    .summary = "the middle of the process most; Esser et al. 2024",
    .numbers = kNumbers,
    .usual_for = kUsualFor,
    .cumulative = logit_normal,
};

}  // namespace ito
