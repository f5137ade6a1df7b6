// SPDX-License-Identifier: Apache-2.0
// The relative links of README.md and every other page exist: on planted links and on the tree.
#include "tests/engine/io/temp_folder.h"
#include "tests/tree/expect_rule.h"
#include "tests/tree/link_rules.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

TEST(Links, AreFoundInEveryForm) {
  const auto links = links_of(
      "[a](one.md) and [b](two.md#part)\n<img src=\"three.png\" alt=\"x\"> <a href=\"four\">\n```sh\n"
      "f[i](five)\n```\n`[c](six)` [d](#seven)\n");
  const std::vector<std::pair<std::string, size_t>> expected{
      {"one.md", 1}, {"two.md#part", 1}, {"three.png", 2}, {"four", 2}, {"#seven", 6}};
  EXPECT_EQ(links, expected);
}

TEST(Links, ThatLeadNowhereAreRefused) {
  const TempFolder folder;
  folder.write("docs/there.md", "");
  const FileRule rule = [&](const SourceFile& page) { return check_links(folder.path(), page); };
  expect_refused(rule, "README.md", "[x](docs/gone.md)\n");
  expect_refused(rule, "README.md", "[x](there.md)\n");
  expect_refused(rule, "docs/page.md", "[x](docs/there.md)\n");
  expect_refused(rule, "README.md", "<img src=\"docs/gone.png\">\n");
  expect_refused(rule, "README.md", "[x](" + (folder / "docs/there.md") + ")\n");
  expect_accepted(rule, "README.md",
                  "[x](docs/there.md) [y](docs) [z](docs/there.md#part) [w](https://a.b/c) [v](#v)\n");
  expect_accepted(rule, "docs/page.md", "[x](there.md) [z](../docs/there.md)\n");
}

TEST(Links, HoldInTheTree) {
  const fs::path root = ITO_SOURCE_DIR;
  Violations found;
  size_t pages = 0, links = 0;
  const auto check = [&](const fs::path& path) {
    if (path.extension() != ".md") return;
    const SourceFile page{fs::relative(path, root).generic_string(), text_of(path)};
    ++pages;
    links += links_of(page.text).size();
    for (std::string& line : check_links(root, page)) found.push_back(std::move(line));
  };
  for (const auto& entry : fs::directory_iterator(root)) check(entry.path());
  for (const char* top : {"docs", "engine", "kernels", "models", "tests", "tools"})
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) check(entry.path());
  EXPECT_EQ(lines_of(found), "");
  EXPECT_GT(pages, 4u);
  EXPECT_GT(links, 5u);
}

}  // namespace
}  // namespace ito
