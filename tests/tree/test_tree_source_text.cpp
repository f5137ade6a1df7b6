// SPDX-License-Identifier: Apache-2.0
// The scanner under the rule checks: what is code, what is comment, what is neither.
#include <gtest/gtest.h>

#include "tests/tree/source_text.h"

namespace ito {
namespace {

TEST(SourceText, CommentsAndLiteralsAreNotCode) {
  const SourceViews views = views_of(
      "int a;  // asm one\n"
      "/* asm\n two */ int b;\n"
      "const char* s = \"asm \\\" asm\";\n"
      "char q = '\\''; char d = '\"'; int n = 1'000; int asm_like;\n"
      "auto r = R\"x(asm )\" // asm)x\"; int end;\n");
  EXPECT_EQ(find_word(views.code, "asm"), std::string::npos);
  for (const char* kept : {"a", "b", "s", "q", "d", "n", "asm_like", "r", "end"})
    EXPECT_NE(find_word(views.code, kept), std::string::npos) << kept;
  EXPECT_NE(find_word(views.comments, "one"), std::string::npos);
  EXPECT_NE(find_word(views.comments, "two"), std::string::npos);
  EXPECT_EQ(find_word(views.comments, "s"), std::string::npos);
}

TEST(SourceText, CodeBehindLiteralsIsSeen) {
  const std::string text = "f(\"a // b\"); asm(x);\ng('\"'); asm(y);\n/**/asm(z);\nh(L'\\'', 0x1'FF); asm(w);\n";
  const SourceViews views = views_of(text);
  size_t seen = 0;
  for (size_t at = find_word(views.code, "asm"); at != std::string::npos; at = find_word(views.code, "asm", at + 1)) {
    ++seen;
    EXPECT_EQ(line_of(views.code, at), seen);
  }
  EXPECT_EQ(seen, 4u);
}

TEST(SourceText, IncludesAreThoseOfDirectivesOnly) {
  const SourceViews views = views_of(
      "#include \"engine/a.h\"\n"
      "  #  include <vector>\n"
      "// #include \"engine/b.h\"\n"
      "/*\n#include \"engine/c.h\"\n*/\n"
      "const char* s = \"#include <d>\";\n"
      "auto r = R\"(\n#include \"engine/e.h\"\n)\";\n");
  ASSERT_EQ(views.includes.size(), 2u);
  EXPECT_EQ(views.includes[0].target, "engine/a.h");
  EXPECT_TRUE(views.includes[0].quoted);
  EXPECT_EQ(views.includes[0].line, 1u);
  EXPECT_EQ(views.includes[1].target, "vector");
  EXPECT_FALSE(views.includes[1].quoted);
  EXPECT_EQ(views.includes[1].line, 2u);
}

TEST(SourceText, TheTreeIsRead) {
  const std::vector<SourceFile> tree = read_tree(ITO_SOURCE_DIR);
  const auto holds = [&](const char* path) {
    return std::any_of(tree.begin(), tree.end(), [&](const SourceFile& file) { return file.path == path; });
  };
  for (const char* path : {"CMakeLists.txt", "cmake/ItoTest.cmake", "kernels/types.h", "kernels/nn/pointwise.cu",
                           "engine/io/json_file.cpp", "tests/tree/source_text.h", "tools/test.sh", ".ci/run"})
    EXPECT_TRUE(holds(path)) << path;
  for (const SourceFile& file : tree) EXPECT_FALSE(starts_with(file.path, "build")) << file.path;
}

}  // namespace
}  // namespace ito
