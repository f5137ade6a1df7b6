// SPDX-License-Identifier: Apache-2.0
// Whole numbers as they are typed: decimal whatever zeros lead, and refused where they are no such number or too large,
// in every option of every sub-command.
#include <cstring>
#include <regex>

#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

// Options of a sub-command that its help calls INT or UINT.
std::vector<std::pair<std::string, bool>> whole_number_options(const std::string& command) {
  std::vector<std::pair<std::string, bool>> found;
  const std::string help = run_ito({command, "--help"}).out;
  const std::regex line("\n  (--[a-z-]+) (U?)INT");
  for (std::sregex_iterator it(help.begin(), help.end(), line), end; it != end; ++it)
    found.emplace_back((*it)[1], it->str(2) == "U");
  return found;
}

TEST(WholeNumbers, AreDecimalOrRefusedInEveryOption) {
  size_t options = 0;
  for (const char* command : {"train", "sample", "predict", "inspect", "eval", "likelihood", "bench"})
    for (const auto& [option, natural] : whole_number_options(command)) {
      SCOPED_TRACE(std::string(command) + " " + option);
      ++options;
      const std::string expected = natural ? "0 to 18446744073709551615" : "that fits its range";
      for (const char* bad : {"0x1f", "1e2", " 7", "7 ", "", "+-3", "0b1", "018446744073709551616",
                              "-9223372036854775809", "123456789012345678901234567890"}) {
        if (kFewRuns && *bad != '7') continue;
        const std::string message = refusal({command, option + "=" + bad});
        EXPECT_NE(message.find(option), std::string::npos) << message;
        const std::string quoted = std::string("'") + bad + "': expected a whole number in decimal digits";
        EXPECT_TRUE(!*bad || message.find(quoted) != std::string::npos) << message;
        EXPECT_TRUE(!*bad || message.find(expected) != std::string::npos) << message;
      }
    }
  EXPECT_GT(options, 30u);
}

TEST(WholeNumbers, OfATrainingRunMayHaveZerosInFront) {
  const TinyRun tiny;
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "012", "--batch", "08", "--warmup", "0007",
                                       "--seed", "018446744073709551615", "--keep-last", "+011", "--log-every", "010"})
                .exit_code,
            0);
  const Json config = read_json_file(tiny / "run/config.json");
  EXPECT_EQ(config.at("steps"), 12);
  EXPECT_EQ(config.at("batch"), 8);
  EXPECT_EQ(config.at("warmup"), 7);
  EXPECT_EQ(config.at("seed"), UINT64_MAX);
  EXPECT_EQ(config.at("keep_last"), 11);
  EXPECT_EQ(config.at("log_every"), 10);
  EXPECT_EQ(read_bytes(tiny / "run/latest"), "checkpoint-000012\n");
  // And in a file of options, which JSON gives no zeros in front.
  for (const char* seed : {"18446744073709551616", "1e3", "-1", "1.0"}) {
    const std::string file = tiny.folder.write("options.json", std::string("{\"seed\": ") + seed + "}");
    const Words words = tiny.train + Words{"--out", tiny / "no"};
    Words without;
    for (size_t i = 0; i < words.size(); ++i)
      if (words[i] == "--seed")
        ++i;
      else
        without.push_back(words[i]);
    EXPECT_NE(refusal(without + Words{"--config", file}).find("seed is "), std::string::npos);
  }
}

TEST(WholeNumbers, OfSamplingMayToo) {
  const TinyRun tiny;
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "3"}).exit_code, 0);
  const auto drawn = [&](const std::string& count, const std::string& seed, const std::string& of_class) {
    const ChildResult result = run_ito({"sample", "--checkpoint", tiny / "run", "--out", tiny / "drawn", "--steps", "2",
                                        "--count", count, "--seed", seed, "--class", of_class});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_bytes(tiny / "drawn/samples.safetensors");
  };
  EXPECT_EQ(drawn("011", "017", "02"), drawn("11", "17", "2"));
  EXPECT_NE(drawn("11", "17", "2"), drawn("11", "15", "2"));
  EXPECT_EQ(drawn("3", "0", "-01"), drawn("3", "0", "-1"));
}

TEST(WholeNumbers, OfABenchThatServes) {
  const auto serve = [](const std::string& lines) {
    return run_child({"/bin/sh", "-c", R"(printf "$1" | exec "$0" bench --serve)", program_path("ito"), lines});
  };
  const ChildResult served = serve("sample 010\nquit\n");
  ASSERT_EQ(served.exit_code, 0) << served.err;
  EXPECT_EQ(parse_json(served.out, "an answer").at("batch"), 10);
  for (const char* line : {"train 2x", "train 2 3", "train 0x2", "train", "train 0", "train 99999999999", "train  2"}) {
    const ChildResult refused = serve(std::string(line) + "\n");
    EXPECT_EQ(refused.exit_code, 2) << line;
    EXPECT_EQ(refused.err, std::string("ito: bench --serve: '") + line + "': expected e.g. train 64\n");
  }
}

}  // namespace
}  // namespace ito
