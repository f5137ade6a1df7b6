// SPDX-License-Identifier: Apache-2.0
// How messages name an option. The library knows options by their keys in config.json; a program that gives them flags
// says how those are spelled, so that its users read "--micro-batch 3" where others read "micro_batch 3".
#pragma once
#include <atomic>
#include <string>
#include <string_view>

namespace ito {

using OptionSpelling = std::string (*)(std::string_view key);

inline std::string option_key(std::string_view key) {
  return std::string(key);
}

inline std::atomic<OptionSpelling> option_spelling{option_key};

inline std::string option_name(std::string_view key) {
  return option_spelling.load()(key);
}

}  // namespace ito
