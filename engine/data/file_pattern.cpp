// SPDX-License-Identifier: Apache-2.0
// See file_pattern.h. Braces are expanded here, since a shell that is given quotes leaves them; wildcards by glob.
#include "engine/data/file_pattern.h"

#include <glob.h>

#include <charconv>
#include <filesystem>

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr size_t kMostFiles = 100'000;

bool is_there(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() <= 9 && text.find_first_not_of("0123456789") == std::string::npos;
}

// What stands between braces: "000..012" or "a,b".
std::vector<std::string> choices_of(const std::string& inside, const std::string& what) {
  std::vector<std::string> choices;
  if (const size_t dots = inside.find(".."); dots != std::string::npos) {
    const std::string first = inside.substr(0, dots), last = inside.substr(dots + 2);
    ITO_USER_CHECK(is_number(first) && is_number(last), what, ": {", inside,
                   "} is no range of numbers, such as {000..012}");
    int64_t from = 0, to = 0;
    std::from_chars(first.data(), first.data() + first.size(), from);
    std::from_chars(last.data(), last.data() + last.size(), to);
    ITO_USER_CHECK(from <= to && to - from < static_cast<int64_t>(kMostFiles), what, ": {", inside,
                   "} is no range of numbers that rise, ", kMostFiles, " at most");
    for (int64_t i = from; i <= to; ++i) {
      std::string digits = std::to_string(i);
      if (digits.size() < first.size()) digits.insert(0, first.size() - digits.size(), '0');
      choices.push_back(digits);
    }
    return choices;
  }
  for (size_t begin = 0; begin <= inside.size();) {
    const size_t end = std::min(inside.find(',', begin), inside.size());
    choices.push_back(inside.substr(begin, end - begin));
    begin = end + 1;
  }
  return choices;
}

std::vector<std::string> without_braces(const std::string& text, const std::string& what) {
  const size_t open = text.find('{'), close = text.find('}', open);
  if (open == std::string::npos || close == std::string::npos) return {text};
  std::vector<std::string> all;
  for (const std::string& choice : choices_of(text.substr(open + 1, close - open - 1), what))
    for (const std::string& rest : without_braces(text.substr(close + 1), what)) {
      ITO_USER_CHECK(all.size() < kMostFiles, what, ": names more than ", kMostFiles, " files");
      all.push_back(join_text(text.substr(0, open), choice, rest));
    }
  return all;
}

bool has_wildcard(const std::string& text) {
  return text.find_first_of("*?[") != std::string::npos;
}

}  // namespace

bool is_file_pattern(const std::string& what) {
  const size_t open = what.find('{');
  const bool braces = open != std::string::npos && what.find('}', open) != std::string::npos;
  return (braces || has_wildcard(what)) && !is_there(what);
}

bool is_path_of_data(const std::string& what) {
  if (is_there(what)) return true;
  if (!is_file_pattern(what)) return false;
  try {
    return !files_of_pattern(what).empty();
  } catch (const UserError&) {
    return false;
  }
}

std::vector<std::string> files_of_pattern(const std::string& what) {
  std::vector<std::string> files;
  for (const std::string& name : without_braces(what, what)) {
    if (!has_wildcard(name)) {
      ITO_USER_CHECK(is_there(name), what, ": ", quote_name(name), " is not there");
      files.push_back(name);
      continue;
    }
    glob_t found{};
    const int status = ::glob(name.c_str(), 0, nullptr, &found);
    for (size_t i = 0; status == 0 && i < found.gl_pathc; ++i) files.emplace_back(found.gl_pathv[i]);
    ::globfree(&found);
  }
  ITO_USER_CHECK(!files.empty(), what, ": no file has such a name");
  return files;
}

}  // namespace ito
