// SPDX-License-Identifier: Apache-2.0
// What a user may set for one sampler or solver as key=value, and from the words of a user or a file to a value.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ito {

// Declared by whom it belongs to. A sampler's stands by the same key in its scheduler's configuration.
struct SamplerOption {
  const char* key;
  double usual, least, most;
  const char* help;
  std::span<const char* const> words = {};  // a choice: the value is the index of one of these
  bool whole = false;                       // a count
};

inline constexpr const char* kFalseTrue[] = {"false", "true"};
constexpr SamplerOption choice_option(const char* key, std::span<const char* const> words, const char* help) {
  return {key, 0, 0, static_cast<double>(words.size() - 1), help, words};
}
constexpr SamplerOption flag_option(const char* key, bool usual, const char* help) {
  return {key, usual ? 1.0 : 0.0, 0, 1, help, kFalseTrue};
}

constexpr SamplerOption count_option(const char* key, int usual, int least, int most, const char* help) {
  return {key, static_cast<double>(usual), static_cast<double>(least), static_cast<double>(most), help, {}, true};
}

// Of a text; UserError beginning with `who` for one that is no value of the option.
double option_value(const std::string& who, const SamplerOption& option, std::string_view text);
// values[i] of options[i] from settings "key=value" in turn. UserError for a key that none of them has.
void set_option_values(const std::string& who, const std::vector<SamplerOption>& options,
                       const std::vector<std::string>& set, std::vector<double>& values);
// The index of a key; Error, since it is the code that asks, where no option has it.
size_t option_index(const std::string& who, const std::vector<SamplerOption>& options, std::string_view key);

// What a value is called: a number, or the word of a choice.
std::string value_text(const SamplerOption& option, double value);
// "eta=0 (0 to 1): what it does", a line an option, for help.
std::vector<std::string> option_lines(const std::vector<SamplerOption>& options);

}  // namespace ito
