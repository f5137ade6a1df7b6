// SPDX-License-Identifier: Apache-2.0
// --clip-denoised on|off and its short form --no-clip: whether estimates of x0 are clipped to the data's range.
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {

struct ClipFlags {
  std::string denoised;
  bool none = false;
};

inline void add_clip_flags(CLI::App& command, ClipFlags& flags) {
  command.add_option("--clip-denoised", flags.denoised,
                     "clip the estimates of x0 to the data's range: on or off; empty: as the scheduler says");
  command.add_flag("--no-clip", flags.none, "the same as --clip-denoised off");
}

// Nothing: as the scheduler says. UserError for another word, and where the two disagree.
inline std::optional<bool> clip_of(const ClipFlags& flags) {
  const std::string& word = flags.denoised;
  ITO_USER_CHECK(word.empty() || word == "on" || word == "off", "--clip-denoised ", quote_name(word),
                 ": expected on or off");
  ITO_USER_CHECK(!flags.none || word != "on",
                 "--no-clip: says the opposite of --clip-denoised on; leave one of them out");
  if (flags.none) return false;
  return word.empty() ? std::nullopt : std::optional(word == "on");
}

}  // namespace ito
