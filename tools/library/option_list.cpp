// SPDX-License-Identifier: Apache-2.0
// See option_list.h.
#include "tools/library/option_list.h"

#include <charconv>
#include <cmath>

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {

OptionList::OptionList(const char* const* options) {
  for (; options && *options; ++options) {
    const std::string text = *options;
    const size_t equals = text.find('=');
    ITO_USER_CHECK(equals != std::string::npos && equals > 0, "option ", quote_name(text), ": expected key=value");
    const std::string key = text.substr(0, equals);
    for (const auto& [other, value] : left_)
      ITO_USER_CHECK(other != key, "option ", quote_name(key), ": is given twice");
    left_.emplace_back(key, text.substr(equals + 1));
  }
}

std::optional<std::string> OptionList::take(const std::string& key) {
  asked_.push_back(key);
  for (size_t i = 0; i < left_.size(); ++i)
    if (left_[i].first == key) {
      std::string value = std::move(left_[i].second);
      left_.erase(left_.begin() + static_cast<std::ptrdiff_t>(i));
      return value;
    }
  return std::nullopt;
}

std::string OptionList::text(const std::string& key, const std::string& usual) {
  return take(key).value_or(usual);
}

double OptionList::number(const std::string& key, double usual, double least, double most) {
  const std::optional<std::string> text = take(key);
  if (!text) return usual;
  double value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  const bool good = error == std::errc() && end == text->data() + text->size() && value >= least && value <= most;
  ITO_USER_CHECK(good, key, " ", quote_name(*text), ": expected a number, ", least, " to ", most);
  return value;
}

int64_t OptionList::whole(const std::string& key, int64_t usual, int64_t least, int64_t most) {
  const std::optional<std::string> text = take(key);
  if (!text) return usual;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  const bool good = error == std::errc() && end == text->data() + text->size() && value >= least && value <= most;
  ITO_USER_CHECK(good, key, " ", quote_name(*text), ": expected a whole number, ", least, " to ", most);
  return value;
}

std::optional<bool> OptionList::on_off(const std::string& key) {
  const std::optional<std::string> text = take(key);
  if (!text) return std::nullopt;
  ITO_USER_CHECK(*text == "on" || *text == "off", key, " ", quote_name(*text), ": expected on or off");
  return *text == "on";
}

bool OptionList::flag(const std::string& key) {
  const std::string value = text(key, "false");
  ITO_USER_CHECK(value == "true" || value == "false", key, " ", quote_name(value), ": expected true or false");
  return value == "true";
}

std::vector<std::string> OptionList::rest() const {
  std::vector<std::string> words;
  for (const auto& [key, value] : left_) words.push_back(join_text(key, "=", value));
  return words;
}

void OptionList::expect_none_left() const {
  if (left_.empty()) return;
  const std::string& key = left_.front().first;
  fail<UserError>("option ", quote_name(key), ": is not known here; expected one of ", list_names(asked_),
                  did_you_mean(key, asked_));
}

}  // namespace ito
