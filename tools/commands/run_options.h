// SPDX-License-Identifier: Apache-2.0
// The options of a run (RunConfig::visit) as flags of a command.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/run/run_config.h"
#include "tools/commands/flag_checks.h"

namespace ito {

template <class T>
void add_run_option(CLI::App& command, T& value, const RunOption& option) {
  const std::string help = option.help + (option.zero.empty() ? "" : "; 0: " + option.zero);
  if constexpr (std::is_same_v<T, bool>) {
    command.add_flag(flag_of(option.key), value, help);
  } else {
    CLI::Option* added = command.add_option(flag_of(option.key), value, help);
    if constexpr (std::is_same_v<T, std::vector<double>>) added->expected(static_cast<int>(value.size()));
  }
}

// run outlives the command.
inline void add_run_options(CLI::App& command, RunConfig& run) {
  RunConfig::visit(run, [&](auto& value, const RunOption& option) { add_run_option(command, value, option); });
}

}  // namespace ito
