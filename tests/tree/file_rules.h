// SPDX-License-Identifier: Apache-2.0
// What holds for each source file by itself: its licence line, what it says of itself, its length, nothing left for
// later.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>

#include "tests/tree/source_text.h"

namespace ito {

inline constexpr size_t kMaxLines = 500;

// The licence stands in the first line, or in the second under a #! line.
inline Violations check_licence_line(const SourceFile& file) {
  std::string_view rest = file.text;
  if (starts_with(rest, "#!")) rest = rest.substr(std::min(rest.find('\n') + 1, rest.size()));
  const std::string line(rest.substr(0, rest.find('\n')));
  const std::string mark = is_cpp(file.path) ? "// " : "# ";
  if (line == mark + "SPDX-License-Identifier: Apache-2.0") return {};
  return {at_line(file.path, 1) + "starts with '" + line + "'; expected '" + mark +
          "SPDX-License-Identifier: Apache-2.0'"};
}

// After the licence a C++ file says what it is and why it exists.
inline Violations check_opening_comment(const SourceFile& file) {
  if (!is_cpp(file.path)) return {};
  const size_t second = std::min(file.text.find('\n') + 1, file.text.size());
  if (file.text.compare(second, 3, "// ") == 0) return {};
  return {at_line(file.path, 2) + "does not say what the file is and why it exists; say so in a comment"};
}

inline Violations check_length(const SourceFile& file) {
  const auto lines = static_cast<size_t>(std::count(file.text.begin(), file.text.end(), '\n'));
  if (lines < kMaxLines) return {};
  return {at_line(file.path, lines) + "has " + std::to_string(lines) + " lines; split it by idea below " +
          std::to_string(kMaxLines)};
}

// In C++ the marks are searched for in comments, where they would stand; elsewhere in the whole text.
inline Violations check_nothing_left(const SourceFile& file) {
  Violations found;
  const std::string text = is_cpp(file.path) ? views_of(file.text).comments : file.text;
  for (const char* word : {"TODO", "FIXME", "XXX"}) {
    const size_t at = find_word(text, word);
    if (at != std::string::npos)
      found.push_back(at_line(file.path, line_of(text, at)) + "leaves something for later (" + word +
                      "); do it or say in words what is not there");
  }
  return found;
}

}  // namespace ito
