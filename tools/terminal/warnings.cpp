// SPDX-License-Identifier: Apache-2.0
// See warnings.h. On a terminal the open progress line is rubbed out first; its next update draws it again.
#include "tools/terminal/warnings.h"

#include <unistd.h>

#include <cstdio>

namespace ito {

void print_warning_line(const std::string& text) {
  std::fprintf(stderr, "%sito: warning: %s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "", text.c_str());
}

}  // namespace ito
