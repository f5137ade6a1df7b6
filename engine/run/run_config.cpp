// SPDX-License-Identifier: Apache-2.0
// What can be asked of the list of options: its JSON, its ranges, and which values the numbers of a run depend on.
#include "engine/run/run_config.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "engine/io/option_name.h"
#include "engine/run/name_json.h"
#include "engine/training/learning_rate.h"
#include "kernels/error.h"

namespace ito {
namespace {

template <class T>
void check_number(const RunOption& option, T value) {
  ITO_USER_CHECK(option.range.holds(static_cast<double>(value)), option_name(option.key), " ", value, ": expected ",
                 option.range.text(), option.zero.empty() ? "" : " (0: " + option.zero + ")");
}

template <class T>
Json json_of(const T& value) {
  if constexpr (std::is_same_v<T, std::string>)
    return json_of_name(value);
  else
    return value;
}

}  // namespace

std::string either_of(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i)
    text += join_text(i == 0 ? "" : i + 1 == names.size() ? " or " : ", ", names[i]);
  return text;
}

bool OptionRange::holds(double value) const {
  if (!std::isfinite(value)) return false;
  return (least_open ? value > least : value >= least) && (most_open ? value < most : value <= most);
}

std::string OptionRange::text() const {
  const auto whole = [](double v) { return join_text(static_cast<int64_t>(v)); };  // ends are whole numbers
  if (std::isinf(most)) return "at least " + whole(least);
  if (least_open) return "a number above " + whole(least) + " and below " + whole(most);
  if (most_open) return "a value in [" + whole(least) + ", " + whole(most) + ")";
  return whole(least) + " to " + whole(most);
}

Json RunConfig::json() const {
  Json all = Json::object();
  visit(*this, [&](const auto& value, const RunOption& option) {
    if (option.role != OptionRole::Start) all[option.key] = json_of(value);
  });
  return all;
}

Json RunConfig::numbers() const {
  Json those = Json::object();
  visit(*this, [&](const auto& value, const RunOption& option) {
    if (option.role == OptionRole::Numbers) those[option.key] = json_of(value);
  });
  if (learning_rate_of(lr_schedule, option_name("lr_schedule")).stretches()) those["steps"] = steps;
  return those;
}

Json RunConfig::before() const {
  Json those = Json::object();
  visit(*this, [&](const auto& value, const RunOption& option) {
    if (!option.before) return;
    constexpr bool kWord = std::is_same_v<std::decay_t<decltype(value)>, std::string>;
    those[option.key] = kWord ? Json(option.before) : Json::parse(option.before);
  });
  return those;
}

void RunConfig::check() const {
  visit(*this, [](const auto& value, const RunOption& option) {
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, std::vector<double>>) {
      for (const double number : value) check_number(option, number);
    } else if constexpr (std::is_same_v<T, int> || std::is_same_v<T, int64_t> || std::is_same_v<T, double>) {
      check_number(option, value);
    }
  });
  ITO_USER_CHECK(adam_betas.size() == 2, option_name("adam_betas"), ": expected two numbers");
}

}  // namespace ito
