// SPDX-License-Identifier: Apache-2.0
// A message names an option by its key, or as the program that links the library spells it.
#include "engine/io/option_name.h"

#include <gtest/gtest.h>

namespace ito {
namespace {

TEST(OptionName, IsTheKeyUnlessAProgramSpellsItOtherwise) {
  EXPECT_EQ(option_name("micro_batch"), "micro_batch");
  option_spelling = [](std::string_view key) { return std::string(key).append("!"); };
  EXPECT_EQ(option_name("micro_batch"), "micro_batch!");
  option_spelling = option_key;
  EXPECT_EQ(option_name("micro_batch"), "micro_batch");
}

}  // namespace
}  // namespace ito
