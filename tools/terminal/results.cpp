// SPDX-License-Identifier: Apache-2.0
// See results.h. Standard output is a buffered stream that remembers a failed write, though not why it failed.
#include "tools/terminal/results.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "engine/io/input_file.h"
#include "tools/terminal/messages.h"

namespace ito {
namespace {

bool reader_has_gone() {
  struct pollfd output {};
  output.fd = STDOUT_FILENO;
  return ::poll(&output, 1, 0) == 1 && (output.revents & (POLLERR | POLLHUP)) != 0;
}

}  // namespace

void begin_results() {
  static char buffer[size_t{1} << 20];  // without one of ours the size would be passed over
  if (isatty(STDOUT_FILENO) == 0) std::setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
}

void print_result(const std::string& line) {
  std::printf("%s\n", printable(line).c_str());
}

std::string json_result(const Json& value, int indent) {
  return value.dump(indent, ' ', true, Json::error_handler_t::replace);
}

void print_json(const Json& value, int indent) {
  std::printf("%s\n", json_result(value, indent).c_str());
}

int finish_results() {
  const bool flushed = std::fflush(stdout) == 0;
  const std::string reason = flushed ? "a part of it is lost" : std::strerror(errno);
  if (flushed && std::ferror(stdout) == 0) return 0;
  if (reader_has_gone()) return 128 + SIGPIPE;
  print_error("standard output cannot be written: " + reason);
  return 2;
}

}  // namespace ito
