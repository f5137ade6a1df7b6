// SPDX-License-Identifier: Apache-2.0
// See sampler_option.h.
#include "engine/samplers/sampler_option.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

std::string expected_of(const SamplerOption& option) {
  if (option.words.empty())
    return join_text(option.whole ? "a whole number of " : "", option.least, " to ", option.most);
  std::string text;
  for (size_t i = 0; i < option.words.size(); ++i)
    text += join_text(i == 0 ? "" : i + 1 == option.words.size() ? " or " : ", ", option.words[i]);
  return text;
}

// The value that `text` means; NaN for none.
double value_of(const SamplerOption& option, std::string_view text) {
  for (size_t i = 0; i < option.words.size(); ++i)
    if (option.words[i] == text) return static_cast<double>(i);
  if (!option.words.empty()) return NAN;
  double value = NAN;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : NAN;
}

}  // namespace

double option_value(const std::string& who, const SamplerOption& option, std::string_view text) {
  const double value = value_of(option, text);
  const bool fits = value >= option.least && value <= option.most && (!option.whole || value == std::floor(value));
  ITO_USER_CHECK(fits, who, ": ", option.key, " is ", printable(text, 40), "; expected ", expected_of(option));
  return value;
}

void set_option_values(const std::string& who, const std::vector<SamplerOption>& options,
                       const std::vector<std::string>& set, std::vector<double>& values) {
  std::vector<std::string> keys;
  for (const SamplerOption& option : options) keys.emplace_back(option.key);
  for (const std::string& setting : set) {
    const size_t equals = setting.find('=');
    ITO_USER_CHECK(equals != std::string::npos && equals > 0, who, ": ", quote_name(setting),
                   " sets nothing; expected key=value");
    const std::string key = setting.substr(0, equals);
    const auto at = std::find(keys.begin(), keys.end(), key);
    ITO_USER_CHECK(at != keys.end(), who, ": has no option ", quote_name(key), "; it has ",
                   keys.empty() ? "none" : list_names(keys), did_you_mean(key, keys));
    const size_t index = at - keys.begin();
    values[index] = option_value(who, options[index], std::string_view(setting).substr(equals + 1));
  }
}

size_t option_index(const std::string& who, const std::vector<SamplerOption>& options, std::string_view key) {
  const auto at =
      std::find_if(options.begin(), options.end(), [&](const SamplerOption& option) { return option.key == key; });
  ITO_CHECK(at != options.end(), who, ": asks for option ", key, ", which it does not declare");
  return static_cast<size_t>(at - options.begin());
}

std::string value_text(const SamplerOption& option, double value) {
  return option.words.empty() ? join_text(value) : option.words[static_cast<size_t>(value)];
}

std::vector<std::string> option_lines(const std::vector<SamplerOption>& options) {
  std::vector<std::string> lines;
  for (const SamplerOption& option : options)
    lines.push_back(
        join_text(option.key, "=", value_text(option, option.usual), " (", expected_of(option), "): ", option.help));
  return lines;
}

}  // namespace ito
