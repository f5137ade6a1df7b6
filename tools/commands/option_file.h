// SPDX-License-Identifier: Apache-2.0
// Options from a JSON file: --config of `ito train`, and the config.json of a run that is resumed.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace ito {

// Values of the file become the options that were not given on the command line; returns the keys of these. UserError
// for a key or a value that the command does not take.
std::vector<std::string> apply_option_file(CLI::App& command, const std::string& path);

}  // namespace ito
