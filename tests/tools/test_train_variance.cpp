// SPDX-License-Identifier: Apache-2.0
// A learned variance from the command line: trained with the variational bound, kept in a checkpoint, gone on with, and
// sampled.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

const char* const kScheduler = "run/checkpoint-000002/scheduler/scheduler_config.json";

Words wide_model(const TinyRun& tiny) {
  Json config = tiny_model();
  config["out_channels"] = 2;
  return {"--model", tiny.folder.write("wide.json", json_text(config))};
}

void expect_success(const std::string& what, const Words& words) {
  const ChildResult result = run_ito(words);
  ASSERT_EQ(result.exit_code, 0) << what << ": " << result.err;
}

TEST(TrainVariance, HybridIsTrainedGoneOnWithAndSampled) {
  const TinyRun tiny;
  const Words train = tiny.train + wide_model(tiny) +
                      Words{"--reverse", "vlb", "--lr-schedule", "constant", "--steps", "2", "--out", tiny / "run"};
  expect_success("train", train);
  const Json run = read_json_file(tiny / "run/config.json");
  EXPECT_EQ(run.at("loss"), "hybrid");
  EXPECT_EQ(run.at("variance_type"), "learned_range");
  EXPECT_EQ(read_json_file(tiny / kScheduler).at("variance_type"), "learned_range");
  for (const char* sampler : {"ddpm", "ddim"})
    expect_success(sampler, {"sample", "--checkpoint", tiny / "run", "--sampler", sampler, "--steps", "5", "--count",
                             "2", "--class", "0", "--out", tiny / sampler});
  // Two steps and two more are four.
  expect_success("resume", {"train", "--out", tiny / "run", "--resume", "--steps", "4"});
  expect_success("four", train + Words{"--steps", "4", "--out", tiny / "four"});
  expect_same_files(tiny / "run/checkpoint-000004", tiny / "four/checkpoint-000004");
}

// Every option whose variance can be learned, the bound in the hybrid's place, and the bound of a fixed variance.
TEST(TrainVariance, OptionsAndLosses) {
  const TinyRun tiny;
  int number = 0;
  for (const Words& more : {Words{"--reverse", "direct", "--variance-type", "learned_range"},
                            {"--reverse", "posterior", "--variance-type", "learned_range", "--loss", "bound"},
                            {"--reverse", "vlb", "--loss", "bound"}}) {
    const std::string out = "learned" + std::to_string(number++);
    expect_success(out, tiny.train + wide_model(tiny) + more + Words{"--steps", "2", "--out", tiny / out});
    expect_success(out, {"sample", "--checkpoint", tiny / out, "--sampler", "ddpm", "--count", "1", "--class", "1",
                         "--out", tiny / (out + "-samples")});
  }
  expect_success("fixed", tiny.train + Words{"--reverse", "vlb", "--variance-type", "fixed_small", "--loss", "bound",
                                             "--steps", "2", "--out", tiny / "fixed"});
}

// A named model gets the outputs that the variance needs.
TEST(TrainVariance, NamedModelsAreWidened) {
  const TinyRun tiny;
  expect_success("train", tiny.train + Words{"--model", "demo", "--resolution", "8", "--batch", "4", "--reverse", "vlb",
                                             "--steps", "1", "--out", tiny / "run"});
  const Json config = read_json_file(tiny / "run/checkpoint-000001/unet/config.json");
  EXPECT_EQ(config.at("out_channels"), 2);
  EXPECT_EQ(config.at("in_channels"), 1);
}

}  // namespace
}  // namespace ito
