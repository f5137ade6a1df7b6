// SPDX-License-Identifier: Apache-2.0
// See terminal.h.
#include "tools/terminal/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace ito {

std::atomic<bool> open_line{false};

bool can_rewrite_line() {
  const char* kind = std::getenv("TERM");
  return isatty(STDERR_FILENO) != 0 && (!kind || std::string_view(kind) != "dumb");
}

size_t line_room() {
  constexpr size_t kUsual = 80;  // a serial line does not know its width
  if (isatty(STDERR_FILENO) == 0) return SIZE_MAX;
  struct winsize size {};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return (known ? size.ws_col : kUsual) - 1;  // some terminals wrap as soon as the last column is written
}

}  // namespace ito
