// SPDX-License-Identifier: Apache-2.0
// Links of Markdown pages: what they name beside themselves must be there.
#pragma once
#include <filesystem>
#include <string>
#include <utility>

#include "tests/tree/source_text.h"

namespace ito {

// The targets of [text](target), src="target" and href="target" outside code fences and `code`, each with its line.
inline std::vector<std::pair<std::string, size_t>> links_of(const std::string& markdown) {
  std::vector<std::pair<std::string, size_t>> links;
  size_t number = 0;
  bool fenced = false;
  std::istringstream lines(markdown);
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (starts_with(line, "```")) fenced = !fenced;
    if (fenced) continue;
    bool code = false;
    for (char& c : line) {
      if (c == '`') code = !code;
      if (code) c = ' ';
    }
    for (const auto& [open, close] : {std::pair{"](", ')'}, {"src=\"", '"'}, {"href=\"", '"'}})
      for (size_t at = line.find(open); at != std::string::npos; at = line.find(open, at + 1)) {
        const size_t begin = at + std::string_view(open).size();
        links.emplace_back(line.substr(begin, line.find(close, begin) - begin), number);
      }
  }
  return links;
}

// page: its path from the root. Addresses (with a scheme) and places within the page (#...) are passed over.
inline Violations check_links(const std::filesystem::path& root, const SourceFile& page) {
  Violations found;
  for (const auto& [link, line] : links_of(page.text)) {
    const std::string target = link.substr(0, link.find('#'));
    if (target.empty() || target.find(':') != std::string::npos) continue;
    const std::filesystem::path folder = (root / page.path).parent_path();
    if (target[0] == '/' || !std::filesystem::exists(folder / target))
      found.push_back(at_line(page.path, line) + "links to " + target +
                      ", which is not there; links are relative to the page");
  }
  return found;
}

}  // namespace ito
