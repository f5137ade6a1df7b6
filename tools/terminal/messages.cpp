// SPDX-License-Identifier: Apache-2.0
// See messages.h. The open progress line is rubbed out first; its next update draws it again.
#include "tools/terminal/messages.h"

#include <atomic>
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

std::atomic<bool> quiet = false;

std::mutex told_mutex;
std::set<std::string>& told() {
  static auto* const warnings = new std::set<std::string>;
  return *warnings;
}

}  // namespace

void keep_quiet() {
  quiet = true;
}

bool is_quiet() {
  return quiet;
}

std::vector<std::string> warnings_so_far() {
  const std::lock_guard lock(told_mutex);
  return {told().begin(), told().end()};
}

void print_error(const std::string& text) {
  print_line("ito: ", text);
}

void print_warning(const std::string& text) {
  const std::lock_guard lock(told_mutex);
  if (!told().insert(text).second || quiet) return;
  print_line("ito: warning: ", text);
}

void print_note(const std::string& text) {
  if (!quiet) print_line("", text);
}

}  // namespace ito
