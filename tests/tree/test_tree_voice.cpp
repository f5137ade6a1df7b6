// SPDX-License-Identifier: Apache-2.0
// How a library speaks: on planted violations, on clean counterparts and on the tree.
#include "tests/tree/expect_rule.h"
#include "tests/tree/voice_rules.h"

namespace ito {
namespace {

TEST(Flags, OneInALiteralIsRefused) {
  expect_refused(check_no_flags, "engine/training/trainer.cpp", "fail(\"--batch \", n, \": expected at least 1\");\n");
  expect_refused(check_no_flags, "kernels/seams/cuda/memory.cpp", "fail(\"no memory; lower --batch\");\n");
  expect_refused(check_no_flags, "models/model.cpp", "// ok\nfail(\"--model x\");\n");
}

TEST(Flags, OtherTextIsAccepted) {
  expect_accepted(check_no_flags, "engine/a.cpp",
                  "// ito train --batch 8\nint a = --b;\nconst char* s = \"micro_batch, a -- b, -1\";\n");
  expect_accepted(check_no_flags, "tools/commands/train.cpp", "fail(\"--batch 0: expected at least 1\");\n");
}

TEST(Flags, HoldsInTheTree) {
  expect_tree_accepted(check_no_flags);
}

TEST(Printing, ACallThatPrintsIsRefused) {
  expect_refused(check_prints_nothing, "engine/a.cpp", "void f() { std::cout << 1; }\n");
  expect_refused(check_prints_nothing, "models/a.cpp", "void f() { std::puts(\"a\"); }\n");
  expect_refused(check_prints_nothing, "kernels/seams/cuda/a.cpp", "void f() { fputs(\"a\", stderr); }\n");
}

TEST(Printing, OtherCodeIsAccepted) {
  expect_accepted(check_prints_nothing, "engine/a.cpp",
                  "// printf\nvoid f() { warn(\"stderr\"); std::snprintf(text, 9, \"%d\", 1); }\n");
  expect_accepted(check_prints_nothing, "tools/main.cpp", "int main() { std::printf(\"a\"); }\n");
}

TEST(Printing, HoldsInTheTree) {
  expect_tree_accepted(check_prints_nothing);
}

}  // namespace
}  // namespace ito
