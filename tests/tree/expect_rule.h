// SPDX-License-Identifier: Apache-2.0
// How the rule checks' tests speak: a text that a rule must refuse, one that it must accept, and the tree itself.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/tree/source_text.h"

namespace ito {

using FileRule = std::function<Violations(const SourceFile&)>;

inline std::string lines_of(const Violations& violations) {
  std::string text;
  for (const std::string& line : violations) text += line + "\n";
  return text;
}

inline void expect_refused(const FileRule& rule, const std::string& path, const std::string& text) {
  const Violations found = rule({path, text});
  EXPECT_EQ(found.size(), 1u) << path << " holds\n" << text << "and gave\n" << lines_of(found);
}

inline void expect_accepted(const FileRule& rule, const std::string& path, const std::string& text) {
  EXPECT_EQ(lines_of(rule({path, text})), "") << path << " holds\n" << text;
}

inline const std::vector<SourceFile>& tree() {
  static const std::vector<SourceFile> files = read_tree(ITO_SOURCE_DIR);
  return files;
}

inline void expect_tree_accepted(const FileRule& rule) {
  Violations found;
  for (const SourceFile& file : tree())
    for (std::string& line : rule(file)) found.push_back(std::move(line));
  EXPECT_EQ(lines_of(found), "");
}

}  // namespace ito
