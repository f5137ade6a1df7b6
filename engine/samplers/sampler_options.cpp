// SPDX-License-Identifier: Apache-2.0
// See sampler_options.h.
#include "engine/samplers/sampler_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/io/input_file.h"

namespace ito {
namespace {

std::string expected_of(const SamplerOption& option) {
  if (option.words.empty()) return join_text(option.least, " to ", option.most);
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

double checked_value(const Sampler& sampler, const SamplerOption& option, std::string_view text) {
  const double value = value_of(option, text);
  ITO_USER_CHECK(value >= option.least && value <= option.most, "sampler ", sampler.name, ": ", option.key, " is ",
                 printable(text, 40), "; expected ", expected_of(option));
  return value;
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

std::vector<SamplerOption> options_of(const Sampler& sampler) {
  std::vector<SamplerOption> options(sampler.options.begin(), sampler.options.end());
  if (sampler.thresholds)
    options.insert(options.end(), std::begin(kThresholdingOptions), std::end(kThresholdingOptions));
  return options;
}

std::vector<double> option_values(const Sampler& sampler, const SchedulerConfig& config,
                                  const std::vector<std::string>& set) {
  const std::vector<SamplerOption> options = options_of(sampler);
  std::vector<double> values;
  std::vector<std::string> keys;
  for (const SamplerOption& option : options) {
    const auto found = config.sampler_keys.find(option.key);
    values.push_back(found == config.sampler_keys.end() ? option.usual
                                                        : checked_value(sampler, option, text_of(*found)));
    keys.emplace_back(option.key);
  }
  if (sampler.thresholds) {  // these are read with the schedule
    const double thresholding[] = {config.thresholding ? 1.0 : 0.0, config.dynamic_thresholding_ratio,
                                   config.sample_max_value};
    std::copy(std::begin(thresholding), std::end(thresholding), values.end() - std::ssize(thresholding));
  }
  for (const std::string& setting : set) {
    const size_t equals = setting.find('=');
    ITO_USER_CHECK(equals != std::string::npos && equals > 0, "sampler ", sampler.name, ": ", quote_name(setting),
                   " sets nothing; expected key=value");
    const std::string key = setting.substr(0, equals);
    const auto at = std::find(keys.begin(), keys.end(), key);
    ITO_USER_CHECK(at != keys.end(), "sampler ", sampler.name, ": has no option ", quote_name(key), "; it has ",
                   keys.empty() ? "none" : list_names(keys), did_you_mean(key, keys));
    const size_t index = at - keys.begin();
    values[index] = checked_value(sampler, options[index], std::string_view(setting).substr(equals + 1));
  }
  return values;
}

void check_fixed_arguments(const Sampler& sampler, const SchedulerConfig& config) {
  for (const FixedArgument& fixed : sampler.fixed) {
    const auto found = config.sampler_keys.find(fixed.key);
    if (found == config.sampler_keys.end()) continue;
    ITO_USER_CHECK(*found == Json::parse(fixed.value), "sampler ", sampler.name, ": ", fixed.key, " is ",
                   printable(found->dump(), 40), " in the scheduler configuration; only ", fixed.value,
                   " is implemented");
  }
}

std::string value_text(const SamplerOption& option, double value) {
  return option.words.empty() ? join_text(value) : option.words[static_cast<size_t>(value)];
}

std::vector<std::string> option_lines(const Sampler& sampler) {
  std::vector<std::string> lines;
  for (const SamplerOption& option : options_of(sampler))
    lines.push_back(
        join_text(option.key, "=", value_text(option, option.usual), " (", expected_of(option), "): ", option.help));
  return lines;
}

}  // namespace ito
