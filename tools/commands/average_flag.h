// SPDX-License-Identifier: Apache-2.0
// --ema NAME: one of the averages that a run keeps beside its model's weights (train's --ema).
#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace ito {

inline void add_average_flag(CLI::App& command, std::string& name) {
  command.add_option("--ema", name,
                     "an average that the run kept beside the first, as in 0.999 or sigma-rel-0.05; empty: the model's "
                     "own weights");
}

}  // namespace ito
