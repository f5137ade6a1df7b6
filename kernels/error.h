// SPDX-License-Identifier: Apache-2.0
// Errors are one line: what was wrong, where, and what to do. So are warnings, of work that goes on all the same. Plain
// C++, seen alike by g++ and nvcc.
#pragma once
#include <atomic>
#include <cstdio>
#include <sstream>
#include <stdexcept>
#include <string>

namespace ito {

// Our mistake, or the machine's (exit code 1).
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The user's mistake: a flag, a file, a size (exit code 2).
class UserError : public Error {
 public:
  using Error::Error;
};

template <class... Parts>
std::string join_text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class E = Error, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw E(join_text(parts...));
}

// Where warnings go: standard error, unless the program that links this library sets another place.
using WarningSink = void (*)(const std::string& text);

inline void print_warning(const std::string& text) {
  std::fprintf(stderr, "ito: warning: %s\n", text.c_str());
}

inline std::atomic<WarningSink> warning_sink{print_warning};

template <class... Parts>
void warn(const Parts&... parts) {
  warning_sink.load()(join_text(parts...));
}

}  // namespace ito

// Throws ito::Error with the given parts joined; the parts name the place and print the values.
#define ITO_CHECK(condition, ...)                             \
  do {                                                        \
    if (!(condition)) ::ito::fail<::ito::Error>(__VA_ARGS__); \
  } while (0)

#define ITO_USER_CHECK(condition, ...)                            \
  do {                                                            \
    if (!(condition)) ::ito::fail<::ito::UserError>(__VA_ARGS__); \
  } while (0)
