// SPDX-License-Identifier: Apache-2.0
// How the parts that a library is made of speak: kernels, engine and models name options as config.json does, since
// they do not know what flags a program gives them, and print nothing.
#pragma once
#include <string>
#include <string_view>

#include "tests/tree/source_text.h"

namespace ito {

inline bool is_library_file(std::string_view path) {
  return starts_with(path, "kernels/") || starts_with(path, "engine/") || starts_with(path, "models/");
}

// "--batch" inside a literal.
inline Violations check_no_flags(const SourceFile& file) {
  Violations found;
  if (!is_library_file(file.path) || !is_cpp(file.path)) return found;
  const SourceViews views = views_of(file.text);
  for (size_t at = file.text.find("--"); at != std::string::npos; at = file.text.find("--", at + 2)) {
    const bool literal = views.code[at] == ' ' && views.comments[at] == ' ';
    if (literal && at + 2 < file.text.size() && std::islower(static_cast<unsigned char>(file.text[at + 2])))
      found.push_back(at_line(file.path, line_of(file.text, at)) +
                      "names a flag of the command; name the option as config.json does, or say what to change");
  }
  return found;
}

// error.h holds the usual sink. The account of memory and the executor of tests may, where they end the process.
inline Violations check_prints_nothing(const SourceFile& file) {
  Violations found;
  if (!is_library_file(file.path) || !is_cpp(file.path) || file.path == "kernels/error.h" ||
      file.path == "kernels/seams/common/ledger.cpp" || starts_with(file.path, "kernels/dialect/sim/"))
    return found;
  const SourceViews views = views_of(file.text);
  for (const char* word : {"stderr", "stdout", "printf", "puts", "cerr", "cout"})
    for (size_t at = find_word(views.code, word); at != std::string::npos; at = find_word(views.code, word, at + 1))
      found.push_back(at_line(file.path, line_of(views.code, at)) + "prints (" + word +
                      "); a warning goes through warn(), and everything else is returned");
  return found;
}

}  // namespace ito
