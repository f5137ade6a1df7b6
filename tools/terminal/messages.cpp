// SPDX-License-Identifier: Apache-2.0
// See messages.h. The open progress line is rubbed out first; its next update draws it again.
#include "tools/terminal/messages.h"

#include <cstdio>
#include <mutex>
#include <set>

#include "engine/io/input_file.h"
#include "tools/terminal/terminal.h"

namespace ito {
namespace {

void print_line(const char* beginning, const std::string& text) {
  std::fprintf(stderr, "%s%s%s\n", open_line.exchange(false) ? "\r\033[K" : "", beginning, printable(text).c_str());
}

}  // namespace

void print_error(const std::string& text) {
  print_line("ito: ", text);
}

void print_warning(const std::string& text) {
  static std::mutex mutex;
  static std::set<std::string> told;
  const std::lock_guard lock(mutex);
  if (!told.insert(text).second) return;
  print_line("ito: warning: ", text);
}

void print_note(const std::string& text) {
  print_line("", text);
}

}  // namespace ito
