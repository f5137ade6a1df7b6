// SPDX-License-Identifier: Apache-2.0
// Every message on standard error passes here: one line each, on a line of its own although a progress line may be
// open, and without control characters. Names of files, values of flags and bytes of files may hold any, and a terminal
// would obey them.
#pragma once
#include <string>
#include <vector>

namespace ito {

// From here on nothing but errors: of the ranks of a run the first speaks for all. Also for progress.
void keep_quiet();
bool is_quiet();
// Those of this process so far, printed or not.
std::vector<std::string> warnings_so_far();

void print_error(const std::string& text);    // "ito: TEXT"
void print_warning(const std::string& text);  // "ito: warning: TEXT", once, however often it is given
void print_note(const std::string& text);     // TEXT alone: what a command begins with, what it leaves

}  // namespace ito
