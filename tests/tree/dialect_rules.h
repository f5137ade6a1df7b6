// SPDX-License-Identifier: Apache-2.0
// The words that kernels/dialect/README.md forbids in kernels/{nn,diffusion,optim}, searched for in code, and the one
// rule about order: no return before a barrier of the same function.
#pragma once
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/tree/include_rules.h"
#include "tests/tree/source_text.h"

namespace ito {

struct ForbiddenWord {
  std::regex pattern;
  const char* instead;
};

inline const std::vector<ForbiddenWord>& forbidden_words() {
  static const std::vector<ForbiddenWord> words = {
      {std::regex("<<<"), "launch or for_each"},
      {std::regex("\\b__shared__\\b"), "SHARED or dyn_shared"},
      {std::regex("\\b__sync(threads|warp)\\w*"), "block_sync"},
      {std::regex("\\b__(global|device|host|forceinline|noinline|constant|launch_bounds|grid_constant)__\\b"),
       "KERNEL or DEVICE"},
      {std::regex("\\b__(shfl|ballot|any|all|match|reduce|activemask|vote)\\w*"),
       "shfl_xor, warp_sum or warp_max over the full warp (no partial masks)"},
      {std::regex("\\b__CUDA\\w*"), "nothing: a kernel does not ask for its compiler"},
      {std::regex("\\bvolatile\\b|\\b__nanosleep\\b|\\bwhile\\s*\\(\\s*(atomic\\w*|ld_acquire\\w*)"),
       "last_block (no spin waits)"},
      {std::regex("\\basm\\b|\\b__asm\\w*"), "a word of the dialect (no inline PTX)"},
      {std::regex("\\batomic[A-Z]\\w*"), "atomic_add on integers, or partials folded in order (no float atomics)"},
      {std::regex("\\batomic_add\\s*<\\s*(float|double)\\b"), "partials folded in order (no float atomics)"},
      {std::regex("\\b(tex|surf)[123]D\\w*"), "plain loads (no textures)"},
      {std::regex("\\bcuda[A-Z]\\w*"), "the seams (no CUDA calls, no dynamic parallelism)"},
      {std::regex("\\bcooperative_groups\\b|\\bthis_grid\\b|\\bgrid_group\\b"),
       "last_block or a second launch (no cooperative grid sync)"},
      {std::regex("\\b(threadIdx|blockDim)\\s*\\.\\s*[yz]\\b"), "threadIdx.x: blocks are one-dimensional"},
  };
  return words;
}

inline Violations check_forbidden_words(const SourceFile& file) {
  Violations found;
  if (!is_op_file(file.path) || !is_cpp(file.path)) return found;
  const SourceViews views = views_of(file.text);
  for (const ForbiddenWord& word : forbidden_words()) {
    for (std::sregex_iterator match(views.code.begin(), views.code.end(), word.pattern), end; match != end; ++match)
      found.push_back(at_line(file.path, line_of(views.code, static_cast<size_t>(match->position()))) + "uses " +
                      match->str() + "; the dialect has " + word.instead);
  }
  return found;
}

// Everything in front of the launchers is the file's own, or its helpers' names are the whole library's.
inline Violations check_own_names(const SourceFile& file) {
  if (!is_op_file(file.path) || !ends_with(file.path, ".cu")) return {};
  const SourceViews views = views_of(file.text);
  const size_t own = views.code.find("namespace {");
  for (const char* word : {"KERNEL", "DEVICE"}) {
    const size_t at = find_word(views.code, word);
    if (at != std::string::npos && at < own)
      return {at_line(file.path, line_of(views.code, at)) + "a " + word +
              " function outside of the file's anonymous namespace"};
  }
  return {};
}

// A function of a kernel file: its name and where its body is, braces included.
struct FunctionBody {
  std::string name;
  size_t begin = 0, end = 0;
};

inline size_t matching_close(std::string_view code, size_t open, char opening, char closing) {
  int depth = 0;
  for (size_t i = open; i < code.size(); ++i) {
    if (code[i] == opening) ++depth;
    if (code[i] == closing && --depth == 0) return i;
  }
  return code.size();
}

// The functions that start with KERNEL or DEVICE, with their bodies.
inline std::vector<FunctionBody> device_functions(std::string_view code) {
  std::vector<FunctionBody> functions;
  for (const char* word : {"KERNEL", "DEVICE"}) {
    for (size_t at = find_word(code, word); at != std::string_view::npos; at = find_word(code, word, at + 1)) {
      size_t open = code.find('(', at);
      if (open == std::string_view::npos) break;
      size_t last = open;
      // KERNEL LAUNCH_THREADS(384) void name(...): the name is in front of the next parenthesis.
      if (ends_with(code.substr(at, open - at), "LAUNCH_THREADS"))
        open = last = code.find('(', matching_close(code, open, '(', ')'));
      if (open == std::string_view::npos) break;
      while (last > at && !is_word(code[last - 1])) --last;
      size_t first = last;
      while (first > at && is_word(code[first - 1])) --first;
      const size_t close = matching_close(code, open, '(', ')');
      const size_t body = code.find_first_of("{;", close);
      if (body == std::string_view::npos || code[body] == ';') continue;
      functions.push_back({std::string(code.substr(first, last - first)), body, matching_close(code, body, '{', '}')});
    }
  }
  return functions;
}

// The body with the bodies of lambdas blanked: their return leaves the lambda only, unless nothing else is said.
inline std::string without_lambdas(std::string body) {
  for (size_t at = body.find(']'); at != std::string::npos; at = body.find(']', at + 1)) {
    size_t next = body.find_first_not_of(" \n", at + 1);
    if (next == std::string::npos) break;
    if (body[next] == '(') {
      next = matching_close(body, next, '(', ')') + 1;
      next = body.find_first_not_of(" \n", std::min(next, body.size()));
      if (next != std::string::npos && starts_with(std::string_view(body).substr(next), "->"))
        next = body.find_first_of("{;", next);
    }
    if (next == std::string::npos || body[next] != '{') continue;
    const size_t open = body.rfind('[', at);
    const size_t before =
        open == 0 || open == std::string::npos ? std::string::npos : body.find_last_not_of(" \n", open - 1);
    if (before != std::string::npos && (is_word(body[before]) || body[before] == ']') &&
        !ends_with(std::string_view(body).substr(0, before + 1), "return"))
      continue;  // an array's brackets: T x[n]{...}
    const size_t close = matching_close(body, next, '{', '}');
    for (size_t i = next + 1; i < close; ++i)
      if (body[i] != '\n') body[i] = ' ';
    at = next;
  }
  return body;
}

inline size_t find_last_call(std::string_view body, const std::set<std::string>& words) {
  size_t last = std::string_view::npos;
  for (const std::string& word : words)
    for (size_t at = find_word(body, word); at != std::string_view::npos; at = find_word(body, word, at + 1))
      if (last == std::string_view::npos || at > last) last = at;
  return last;
}

// No return in front of a barrier: the threads that left would never arrive. Helpers that contain a barrier count as
// one, across all files given, so the rule takes the kernel files together.
inline Violations check_return_before_barrier(const std::vector<SourceFile>& files) {
  std::set<std::string> barriers = {"block_sync", "block_sum", "block_max", "last_block",    "warp_sum",   "warp_max",
                                    "shfl_xor",   "shfl_down", "mma_tile",  "cp_async_wait", "named_sync", "bar_wait",
                                    "wg_mma",     "wg_wait",   "regs_inc",  "regs_dec"};
  struct Body {
    const SourceFile* file;
    std::string code;
    FunctionBody function;
  };
  std::vector<Body> bodies;
  for (const SourceFile& file : files) {
    if (!is_op_file(file.path) || !is_cpp(file.path)) continue;
    const std::string code = views_of(file.text).code;
    for (const FunctionBody& function : device_functions(code)) bodies.push_back({&file, code, function});
  }
  for (bool grown = true; grown;) {
    grown = false;
    for (const Body& body : bodies) {
      const auto& [name, begin, end] = body.function;
      if (find_last_call(std::string_view(body.code).substr(begin, end - begin), barriers) != std::string_view::npos)
        grown |= barriers.insert(name).second;
    }
  }
  Violations found;
  for (const Body& body : bodies) {
    const auto& [name, begin, end] = body.function;
    const std::string_view whole = std::string_view(body.code).substr(begin, end - begin);
    const size_t barrier = find_last_call(whole, barriers);
    if (barrier == std::string_view::npos) continue;
    const std::string own = without_lambdas(std::string(whole));
    for (size_t at = find_word(own, "return"); at != std::string::npos && at < barrier;
         at = find_word(own, "return", at + 1)) {
      // `return block_sum(v);` is one statement: its barrier comes before the function is left.
      const size_t stop = std::min(own.find(';', at), own.size());
      const std::string_view behind = whole.substr(std::min(stop, whole.size()));
      if (find_last_call(behind, barriers) == std::string_view::npos) continue;
      found.push_back(at_line(body.file->path, line_of(body.code, begin + at)) + "returns from " + name +
                      " before a barrier; every live thread of the block must reach it");
    }
  }
  return found;
}

// The names given to launch<...>("name", ...) and for_each<...>("name", ...): what profiles and errors show. A launch
// that takes its name from a variable is left to the reader.
inline std::set<std::string> kernel_names(const SourceFile& file) {
  std::set<std::string> names;
  const std::string code = views_of(file.text).code;
  for (const char* verb : {"launch", "for_each"}) {
    for (size_t at = find_word(code, verb); at != std::string::npos; at = find_word(code, verb, at + 1)) {
      const size_t open = code.find_first_not_of(" \n", at + std::string_view(verb).size());
      if (open == std::string::npos || code[open] != '<') continue;
      const size_t call = code.find_first_not_of(" \n", matching_close(code, open, '<', '>') + 1);
      if (call == std::string::npos || code[call] != '(') continue;
      const size_t name = code.find_first_not_of(" \n", call + 1);
      if (name == std::string::npos || code[name] != '"') continue;
      names.insert(file.text.substr(name + 1, code.find('"', name + 1) - name - 1));
    }
  }
  return names;
}

// The kernels that a table names in the first cells of its rows: `name`; `prefix_*`; and, behind another name,
// `_ending`, which stands for that name with the ending added or with its last word replaced.
struct KernelTable {
  std::set<std::string> names, prefixes;
  bool holds(const std::string& name) const {
    if (names.count(name)) return true;
    return std::any_of(prefixes.begin(), prefixes.end(), [&](const auto& prefix) { return starts_with(name, prefix); });
  }
};

inline KernelTable kernel_table(const std::string& readme) {
  static const std::regex kName("`(\\w+)(\\*?)`");
  KernelTable table;
  std::istringstream lines(readme);
  for (std::string line; std::getline(lines, line);) {
    if (!starts_with(line, "|")) continue;
    const std::string cell = line.substr(0, line.find('|', 1));
    std::string before;
    for (std::sregex_iterator match(cell.begin(), cell.end(), kName), end; match != end; ++match) {
      const std::string name = (*match)[1].str();
      if ((*match)[2].length()) {
        table.prefixes.insert(name);
      } else if (name[0] == '_') {
        table.names.insert(before + name);
        table.names.insert(before.substr(0, before.rfind('_')) + name);
      } else {
        table.names.insert(name);
        before = name;
      }
    }
  }
  return table;
}

inline Violations check_kernel_table(const std::vector<SourceFile>& files, const std::string& readme) {
  const KernelTable table = kernel_table(readme);
  Violations found;
  for (const SourceFile& file : files) {
    if (!is_op_file(file.path) || !ends_with(file.path, ".cu")) continue;
    for (const std::string& name : kernel_names(file))
      if (!table.holds(name)) found.push_back(file.path + ": the kernel " + name + " has no row in kernels/README.md");
  }
  return found;
}

}  // namespace ito
