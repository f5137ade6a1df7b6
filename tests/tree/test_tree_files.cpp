// SPDX-License-Identifier: Apache-2.0
// Licence line, opening comment, length, nothing left for later: on planted violations, on clean counterparts and on
// the tree.
#include "tests/tree/expect_rule.h"
#include "tests/tree/file_rules.h"

namespace ito {
namespace {

const std::string kLicence = "SPDX-License-Identifier: Apache-2.0\n";
// Spelled apart, so that this file does not hold the word in a form that a search by hand would find.
const std::string kLater = std::string("TO") + "DO";

TEST(LicenceLine, MissingOrWrongIsRefused) {
  expect_refused(check_licence_line, "engine/a.cpp", "#include <map>\n");
  expect_refused(check_licence_line, "engine/a.cpp", "");
  expect_refused(check_licence_line, "engine/a.cpp", "\n// " + kLicence);
  expect_refused(check_licence_line, "engine/a.h", "// SPDX-License-Identifier: MIT\n");
  expect_refused(check_licence_line, "engine/a.cpp", "const char* s = \"" + kLicence + "\";\n");
  expect_refused(check_licence_line, "tools/a.sh", "#!/bin/bash\nset -e\n# " + kLicence);
}

TEST(LicenceLine, ItsFormsAreAccepted) {
  for (const char* path : {"engine/a.cpp", "engine/a.h", "kernels/nn/a.cu", "kernels/nn/a.cuh"})
    expect_accepted(check_licence_line, path, "// " + kLicence + "int a;\n");
  for (const char* path : {"tools/a.sh", "tests/a.py", "CMakeLists.txt", "cmake/a.cmake", ".ci/run"}) {
    expect_accepted(check_licence_line, path, "# " + kLicence);
    expect_accepted(check_licence_line, path, "#!/usr/bin/env bash\n# " + kLicence);
  }
}

TEST(LicenceLine, HoldsInTheTree) {
  expect_tree_accepted(check_licence_line);
}

TEST(OpeningComment, AFileThatDoesNotSayWhatItIsIsRefused) {
  expect_refused(check_opening_comment, "engine/a.cpp", "// " + kLicence + "#include <map>\n");
  expect_refused(check_opening_comment, "kernels/nn/a.cu", "// " + kLicence + "\n// Late.\n");
  expect_refused(check_opening_comment, "engine/a.h", "// " + kLicence);
  expect_accepted(check_opening_comment, "engine/a.cpp", "// " + kLicence + "// Adds two numbers.\nint a;\n");
  expect_accepted(check_opening_comment, "tools/a.sh", "# " + kLicence + "set -e\n");
}

TEST(OpeningComment, HoldsInTheTree) {
  expect_tree_accepted(check_opening_comment);
}

TEST(Length, FiveHundredLinesAreRefused) {
  expect_refused(check_length, "engine/a.cpp", std::string(kMaxLines, '\n'));
  expect_accepted(check_length, "engine/a.cpp", std::string(kMaxLines - 1, '\n'));
}

TEST(Length, HoldsInTheTree) {
  expect_tree_accepted(check_length);
}

TEST(NothingLeft, MarksInCommentsAreRefused) {
  expect_refused(check_nothing_left, "engine/a.cpp", "int a;  // " + kLater + ": the rest\n");
  expect_refused(check_nothing_left, "kernels/nn/a.cu", "/* one\n " + kLater + "(me) two */\n");
  expect_refused(check_nothing_left, "tools/a.sh", "# " + kLater + "\n");
  expect_refused(check_nothing_left, "tests/a.py", std::string("x = 1  # FIX") + "ME\n");
}

TEST(NothingLeft, OtherTextIsAccepted) {
  expect_accepted(
      check_nothing_left, "engine/a.cpp",
      "// The methods below do it to a tensor.\nconst char* s = \"" + kLater + "\";\nint " + kLater + "_S;\n");
  expect_accepted(check_nothing_left, "tools/a.sh", "# to do this, run it\n");
}

TEST(NothingLeft, HoldsInTheTree) {
  expect_tree_accepted(check_nothing_left);
}

}  // namespace
}  // namespace ito
