// SPDX-License-Identifier: Apache-2.0
// See named_choice.h.
#include "engine/io/named_choice.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

// The shortest text that reads as the same bits.
std::string number_text(double value) {
  char text[32];
  return {text, std::to_chars(std::begin(text), std::end(text), value).ptr};
}

double number_of(std::string_view text) {
  double value = NAN;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : NAN;
}

}  // namespace

std::string_view choice_name(std::string_view text) {
  return text.substr(0, text.find(':'));
}

std::vector<double> choice_values(std::string_view text, std::span<const ChoiceNumber> numbers,
                                  const std::string& where) {
  const std::string_view name = choice_name(text);
  std::vector<double> values;
  std::vector<std::string> keys;
  for (const ChoiceNumber& number : numbers) {
    values.push_back(number.usual);
    keys.emplace_back(number.key);
  }
  if (name.size() == text.size()) return values;
  std::vector<bool> said(numbers.size(), false);
  for (std::string_view rest = text.substr(name.size() + 1);;) {
    const size_t comma = rest.find(',');
    const std::string_view setting = rest.substr(0, comma);
    const size_t equals = setting.find('=');
    ITO_USER_CHECK(equals != std::string_view::npos && equals > 0, where, " ", name, ": ", quote_name(setting),
                   " is no number of it; expected ", name, ":key=value,...");
    const std::string key(setting.substr(0, equals));
    const size_t at = std::find(keys.begin(), keys.end(), key) - keys.begin();
    ITO_USER_CHECK(at < keys.size(), where, " ", name, ": has no number ", quote_name(key), "; it has ",
                   keys.empty() ? "none" : list_names(keys), did_you_mean(key, keys));
    ITO_USER_CHECK(!said[at], where, " ", name, ": ", key, " stands twice; expected once");
    said[at] = true;
    values[at] = number_of(setting.substr(equals + 1));
    ITO_USER_CHECK(values[at] >= numbers[at].least && values[at] <= numbers[at].most, where, " ", name, ": ", key,
                   " is ", printable(setting.substr(equals + 1), 40), "; expected ", numbers[at].least, " to ",
                   numbers[at].most);
    if (comma == std::string_view::npos) return values;
    rest = rest.substr(comma + 1);
  }
}

std::string choice_text(std::string_view name, std::span<const ChoiceNumber> numbers, std::span<const double> values) {
  std::string text(name);
  for (size_t i = 0; i < numbers.size(); ++i)
    text += join_text(i == 0 ? ":" : ",", numbers[i].key, "=", number_text(values[i]));
  return text;
}

std::vector<std::string> choice_lines(std::string_view name, std::string_view summary,
                                      std::span<const ChoiceNumber> numbers) {
  std::vector<std::string> lines{join_text(name, ": ", summary)};
  for (const ChoiceNumber& number : numbers)
    lines.push_back(join_text("  ", number.key, "=", number_text(number.usual), " (", number.least, " to ", number.most,
                              "): ", number.help));
  return lines;
}

}  // namespace ito
