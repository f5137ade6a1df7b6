// SPDX-License-Identifier: Apache-2.0
// The list of draws, and the whole numbers that a device searches.
#include "engine/training/level_draw.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {

extern const LevelDraw kUniformDraw, kImportanceDraw, kLogitNormalDraw, kLogNormalDraw;

namespace {

constexpr const LevelDraw* kDraws[] = {&kUniformDraw, &kImportanceDraw, &kLogitNormalDraw, &kLogNormalDraw};
constexpr double kWords = 0x1p32;

}  // namespace

std::span<const LevelDraw* const> level_draws() {
  return kDraws;
}

std::vector<std::string> level_draw_names() {
  std::vector<std::string> names;
  for (const LevelDraw* one : kDraws) names.emplace_back(one->name);
  return names;
}

std::vector<std::string> level_draw_lines() {
  std::vector<std::string> lines;
  for (const LevelDraw* one : kDraws)
    for (std::string& line : choice_lines(one->name, one->summary, one->numbers)) lines.push_back(std::move(line));
  return lines;
}

std::string usual_level_draws() {
  std::string usual;
  for (const LevelDraw* one : kDraws)
    for (const Family family : one->usual_for) usual += join_text(one->name, " for family ", name_of(family), ", ");
  return join_text(usual, kUniformDraw.name, " for the others");
}

std::string LevelDrawChoice::text() const {
  return draw_ ? choice_text(draw_->name, draw_->numbers, values_) : kUniformDraw.name;
}

std::vector<uint64_t> LevelDrawChoice::thresholds(const Levels& levels) const {
  std::vector<uint64_t> words;
  if (!draw_ || !draw_->cumulative) return words;
  for (const double below : draw_->cumulative(levels, values_)) {
    ITO_CHECK(below >= 0 && below <= 1, "draw ", draw_->name, ": a chance of ", below, "; expected 0 to 1");
    const auto up_to = static_cast<uint64_t>(std::nearbyint(below * kWords));
    words.push_back(words.empty() ? up_to : std::max(up_to, words.back()));  // a last bit may fall
  }
  ITO_CHECK(static_cast<int>(words.size()) == levels.steps(), "draw ", draw_->name, ": ", words.size(), " chances for ",
            levels.steps(), " levels");
  words.back() = static_cast<uint64_t>(kWords);
  return words;
}

std::vector<double> LevelDrawChoice::chances(const Levels& levels) const {
  std::vector<double> chances(levels.steps(), 1.0 / levels.steps());
  uint64_t before = 0;
  const std::vector<uint64_t> words = thresholds(levels);
  for (size_t i = 0; i < words.size(); before = words[i++])
    chances[i] = static_cast<double>(words[i] - before) / kWords;
  return chances;
}

LevelDrawChoice level_draw_of(std::string_view text, Family family, const std::string& where) {
  std::string_view name = choice_name(text);
  if (text.empty()) {
    name = kUniformDraw.name;
    for (const LevelDraw* one : kDraws)
      if (std::find(one->usual_for.begin(), one->usual_for.end(), family) != one->usual_for.end()) name = one->name;
    text = name;
  }
  for (const LevelDraw* one : kDraws)
    if (one->name == name) return {one, choice_values(text, one->numbers, where)};
  fail<UserError>(where, ": ", quote_name(name), " is not known; use one of ", list_names(level_draw_names()),
                  did_you_mean(name, level_draw_names()));
}

double normal_below(double x) {
  return std::erfc(-x / std::numbers::sqrt2) / 2;
}

}  // namespace ito
