// SPDX-License-Identifier: Apache-2.0
// How training chooses the level of each image: the chance of every timestep. The device draws an index with one search
// of 32 uniform bits among whole numbers (kernels/diffusion/noising.h), so a chance is exactly a count of such words.
// To add a draw: one file beside level_draws/logit_normal.cpp that defines a LevelDraw, and its line in level_draw.cpp.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/diffusion/levels.h"
#include "engine/io/named_choice.h"

namespace ito {

struct LevelDraw {
  const char* name;
  const char* summary;
  std::span<const ChoiceNumber> numbers;
  std::span<const Family> usual_for;  // families that are trained so unless told otherwise; the rest uniformly
  // T numbers, the chance of a level up to each; they do not fall, and the last is 1 whatever stands there. Null:
  // uniform.
  std::vector<double> (*cumulative)(const Levels& levels, std::span<const double> values);
  bool learns = false;  // the chances follow the losses (kernels/diffusion/level_losses.h); values[0] is its share
};

std::span<const LevelDraw* const> level_draws();
std::vector<std::string> level_draw_names();
std::vector<std::string> level_draw_lines();  // what each is and the numbers it takes, for help
std::string usual_level_draws();              // "log-normal for family edm, ..., uniform for the others"

// A draw with its numbers.
class LevelDrawChoice {
 public:
  LevelDrawChoice() = default;  // uniform
  LevelDrawChoice(const LevelDraw* draw, std::vector<double> values) : draw_(draw), values_(std::move(values)) {}

  std::string text() const;  // "logit-normal:mean=0,std=1"
  bool learns() const { return draw_ && draw_->learns; }
  double uniform_share() const { return values_.at(0); }  // of a draw that learns
  // thresholds[i]: how many of the 2^32 words draw a level up to i. Empty for a uniform draw, and one that learns.
  std::vector<uint64_t> thresholds(const Levels& levels) const;
  // The chance of every level when training begins.
  std::vector<double> chances(const Levels& levels) const;

 private:
  const LevelDraw* draw_ = nullptr;
  std::vector<double> values_;
};

// "name" or "name:key=value,...", or "" for the family's usual one; `where` (an option) begins the UserError for what
// is not known.
LevelDrawChoice level_draw_of(std::string_view text, Family family, const std::string& where);

// The chance that a standard normal is below x, infinite x included.
double normal_below(double x);

}  // namespace ito
