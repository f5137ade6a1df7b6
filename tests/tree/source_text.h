// SPDX-License-Identifier: Apache-2.0
// The tree as text, for the rule checks: files as (path, text) pairs, and C++ text taken apart into code, comments and
// includes, so that a word in a comment or in a string literal is not taken for code.
#pragma once
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace ito {

struct SourceFile {
  std::string path;  // from the repository's root, with '/'
  std::string text;
};

// Each rule returns one line a violation, "path:line: what is wrong and what to do"; none means the rule holds.
using Violations = std::vector<std::string>;

inline std::string at_line(const std::string& path, size_t line) {
  return path + ":" + std::to_string(line) + ": ";
}

struct Include {
  std::string target;
  bool quoted = false;  // "target" rather than <target>
  size_t line = 0;
};

// One text in three views. code and comments are as long as the text and keep its line breaks: what belongs to the
// other view, and the inside of literals, is blank.
struct SourceViews {
  std::string code;
  std::string comments;
  std::vector<Include> includes;
};

inline bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
}

inline size_t line_of(std::string_view text, size_t position) {
  return 1 + static_cast<size_t>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(position), '\n'));
}

inline bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}
inline bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

// Cuts C++ text into its views in one pass. Knows line and block comments, strings, characters, digit separators
// (1'000) and raw strings with their delimiters.
class SourceScanner {
 public:
  explicit SourceScanner(std::string_view text) : text_(text) {
    views_.code.assign(text.size(), ' ');
    views_.comments.assign(text.size(), ' ');
    for (size_t i = 0; i < text.size(); ++i)
      if (text[i] == '\n') views_.code[i] = views_.comments[i] = '\n';
  }

  SourceViews scan() {
    while (at_ < text_.size()) {
      if (text_.substr(at_, 2) == "//") {
        copy_comment(std::min(text_.find('\n', at_), text_.size()));
      } else if (text_.substr(at_, 2) == "/*") {
        const size_t end = text_.find("*/", at_ + 2);
        copy_comment(end == std::string_view::npos ? text_.size() : end + 2);
      } else if (text_[at_] == '"') {
        skip_string();
      } else if (text_[at_] == '\'' && !(at_ > 0 && is_word(text_[at_ - 1]))) {
        skip_quoted('\'');
      } else if (text_[at_] == '#' && first_on_line()) {
        copy_directive();
      } else {
        copy_code(1);
      }
    }
    return std::move(views_);
  }

 private:
  void copy_code(size_t count) {
    for (; count > 0 && at_ < text_.size(); --count, ++at_) views_.code[at_] = text_[at_];
  }

  void copy_comment(size_t end) {
    for (; at_ < end; ++at_) views_.comments[at_] = text_[at_];
  }

  bool first_on_line() const {
    for (size_t i = at_; i > 0 && text_[i - 1] != '\n'; --i)
      if (views_.code[i - 1] != ' ' && views_.code[i - 1] != '\t') return false;
    return true;
  }

  // "..." with escapes, or R"delimiter(...)delimiter" where the quote follows an R that ends a prefix.
  void skip_string() {
    size_t prefix = at_;
    while (prefix > 0 && is_word(text_[prefix - 1])) --prefix;
    const std::string_view word = text_.substr(prefix, at_ - prefix);
    if (word != "R" && word != "u8R" && word != "uR" && word != "UR" && word != "LR") {
      skip_quoted('"');
      return;
    }
    const size_t open = text_.find('(', at_);
    if (open == std::string_view::npos) {
      at_ = text_.size();
      return;
    }
    std::string close(1, ')');
    close.append(text_.substr(at_ + 1, open - at_ - 1)).push_back('"');
    const size_t end = text_.find(close, open);
    at_ = end == std::string_view::npos ? text_.size() : end + close.size();
  }

  void skip_quoted(char quote) {
    views_.code[at_++] = quote;
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\n') at_ += text_[at_] == '\\' ? 2 : 1;
    at_ = std::min(at_, text_.size());
    if (at_ < text_.size() && text_[at_] == quote) views_.code[at_++] = quote;
  }

  void copy_directive() {
    const size_t end = std::min(text_.find('\n', at_), text_.size());
    size_t word = at_ + 1;
    while (word < end && std::isspace(static_cast<unsigned char>(text_[word]))) ++word;
    if (!starts_with(text_.substr(word), "include")) {
      copy_code(1);
      return;
    }
    const size_t open = text_.substr(0, end).find_first_of("<\"", word);
    const size_t close =
        open == std::string_view::npos ? open : text_.substr(0, end).find(text_[open] == '<' ? '>' : '"', open + 1);
    if (close == std::string_view::npos) {
      copy_code(1);
      return;
    }
    views_.includes.push_back(
        {std::string(text_.substr(open + 1, close - open - 1)), text_[open] == '"', line_of(text_, at_)});
    at_ = close + 1;
  }

  std::string_view text_;
  size_t at_ = 0;
  SourceViews views_;
};

inline SourceViews views_of(std::string_view text) {
  return SourceScanner(text).scan();
}

// Position of `word` as a whole word at or after `from`; npos if there is none.
inline size_t find_word(std::string_view text, std::string_view word, size_t from = 0) {
  for (size_t at = text.find(word, from); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const bool starts = at == 0 || !is_word(text[at - 1]);
    const bool ends = at + word.size() >= text.size() || !is_word(text[at + word.size()]);
    if (starts && ends) return at;
  }
  return std::string_view::npos;
}

inline bool is_cpp(const std::string& path) {
  for (const char* ending : {".h", ".cpp", ".cu", ".cuh"})
    if (ends_with(path, ending)) return true;
  return false;
}

inline bool is_source(const std::string& path) {
  for (const char* ending : {".py", ".sh", ".cmake", "CMakeLists.txt", ".ci/run"})
    if (ends_with(path, ending)) return true;
  return is_cpp(path);
}

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Every source file of the repository at `root`, in path order; build folders and hidden folders but .ci are left out.
inline std::vector<SourceFile> read_tree(const std::filesystem::path& root) {
  std::vector<SourceFile> files;
  const auto add = [&](const std::filesystem::path& path) {
    const std::string name = std::filesystem::relative(path, root).generic_string();
    if (is_source(name)) files.push_back({name, text_of(path)});
  };
  for (const char* top : {".ci", "cmake", "engine", "kernels", "models", "tests", "tools"}) {
    if (!std::filesystem::is_directory(root / top)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / top))
      if (entry.is_regular_file()) add(entry.path());
  }
  if (std::filesystem::exists(root / "CMakeLists.txt")) add(root / "CMakeLists.txt");
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

}  // namespace ito
