// SPDX-License-Identifier: Apache-2.0
// Whole numbers on the command line and in option files are decimal, as `seq -w` and dates write them: 010 is ten. The
// parser's own conversion takes a leading 0 for octal, and a number past 64 bits for the largest.
#pragma once
#include <CLI/CLI.hpp>

namespace ito {

// For every option of every sub-command whose value is a whole number: digits with an optional sign, within 64 bits. To
// be called when all of them have been added. Narrower types are the parser's to check.
void read_whole_numbers_in_decimal(CLI::App& app);

}  // namespace ito
