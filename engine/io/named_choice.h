// SPDX-License-Identifier: Apache-2.0
// A choice by name with numbers of its own, as one word of a command line or a file: "min-snr", "min-snr:gamma=5",
// "p2:k=1,gamma=0.5".
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ito {

struct ChoiceNumber {
  const char* key;
  double usual, least, most;
  const char* help;
};

// What stands before the colon.
std::string_view choice_name(std::string_view text);

// One value a number, in their order: what it usually is, or what `text` says behind the colon. `where` (an option)
// begins the UserError for a key that the choice does not have or that stands twice, and for a value out of range.
std::vector<double> choice_values(std::string_view text, std::span<const ChoiceNumber> numbers,
                                  const std::string& where);

// The word with every number in it, from which choice_values reads the same bits.
std::string choice_text(std::string_view name, std::span<const ChoiceNumber> numbers, std::span<const double> values);

// "min-snr: what it does", and a line a number, "gamma=5 (1e-06 to 1e+09): what that is", for help.
std::vector<std::string> choice_lines(std::string_view name, std::string_view summary,
                                      std::span<const ChoiceNumber> numbers);

}  // namespace ito
