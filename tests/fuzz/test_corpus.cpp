// SPDX-License-Identifier: Apache-2.0
// Every committed corpus file through every fuzz target, without a fuzzer: seeds, and what fuzzing has found. A file's
// name says what its own target must do: ok-* is accepted, bad-* refused; found-* once was a fault and may be either.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "engine/io/input_file.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/fuzz/fuzz_target.h"

namespace ito {
namespace {
namespace fs = std::filesystem;

std::vector<std::string> corpus_files(const std::string& name) {
  std::vector<std::string> files;
  for (const auto& item : fs::directory_iterator(std::string(ITO_SOURCE_DIR) + "/tests/fuzz/corpus/" + name))
    files.push_back(item.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

class Corpus : public testing::TestWithParam<FuzzTarget> {};

TEST_P(Corpus, IsAcceptedOrRefusedInOneLine) {
  int accepted = 0, refused = 0;
  for (const FuzzTarget& origin : kFuzzTargets) {
    const bool own = std::string_view(origin.name) == GetParam().name;
    for (const std::string& file : corpus_files(origin.name)) {
      const std::vector<uint8_t> bytes = read_whole_file(file);
      std::string reason;
      const Outcome outcome = run_target(GetParam().parse, bytes, reason);
      EXPECT_NE(outcome, Outcome::Fault) << file << "\n" << reason;
      if (!own) continue;
      const std::string name = fs::path(file).filename().string();
      if (name.starts_with("ok-")) {
        EXPECT_EQ(outcome, Outcome::Accepted) << file << "\n" << reason;
      } else if (name.starts_with("bad-")) {
        EXPECT_EQ(outcome, Outcome::Refused) << file;
      }
      EXPECT_TRUE(name.starts_with("ok-") || name.starts_with("bad-") || name.starts_with("found-")) << file;
      accepted += outcome == Outcome::Accepted;
      refused += outcome == Outcome::Refused;
    }
  }
  // A target that accepted nothing or refused nothing would test half of nothing.
  EXPECT_GT(accepted, 0);
  EXPECT_GT(refused, 0);
}

INSTANTIATE_TEST_SUITE_P(Targets, Corpus, testing::ValuesIn(kFuzzTargets),
                         [](const auto& param) { return std::string(param.param.name); });

// The runner itself: what it must call a fault.
TEST(RunTarget, FaultsAreTold) {
  std::string reason;
  const auto outcome_of = [&](void (*parse)(Bytes)) { return run_target(parse, {}, reason); };
  EXPECT_EQ(outcome_of([](Bytes) {}), Outcome::Accepted);
  EXPECT_EQ(outcome_of([](Bytes) { fail<UserError>("file: is cut short"); }), Outcome::Refused);
  EXPECT_EQ(outcome_of([](Bytes) { fail<Error>("two\nlines"); }), Outcome::Fault);
  EXPECT_EQ(outcome_of([](Bytes) { fail<Error>("bell \x07"); }), Outcome::Fault);
  EXPECT_EQ(outcome_of([](Bytes) { fail<Error>("delete \x7f"); }), Outcome::Fault);
  EXPECT_EQ(outcome_of([](Bytes) { fail<Error>("C1 \xc2\x9b"); }), Outcome::Fault);
  EXPECT_EQ(outcome_of([](Bytes) { fail<Error>("no UTF-8 \x9b"); }), Outcome::Fault);
  EXPECT_EQ(outcome_of([](Bytes) { fail<Error>("umlaut \xc3\xa4"); }), Outcome::Refused);
  EXPECT_EQ(outcome_of([](Bytes) { fail<Error>(std::string(5000, 'a')); }), Outcome::Fault);
  EXPECT_EQ(outcome_of([](Bytes) { throw std::bad_alloc(); }), Outcome::Fault);
  EXPECT_EQ(outcome_of([](Bytes) { demand(false, "one is two"); }), Outcome::Fault);
  EXPECT_EQ(outcome_of([](Bytes) { attempt([] { fail<Error>("two\nlines"); }); }), Outcome::Fault);
}

}  // namespace
}  // namespace ito
