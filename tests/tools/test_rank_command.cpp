// SPDX-License-Identifier: Apache-2.0
// Training by mpirun: the files of a run are those of one process, on any number of ranks, and a run that one number of
// ranks began another goes on with.
#include <filesystem>
#include <string>
#include <vector>

#include "tests/tools/rank_run.h"

namespace ito {
namespace {

// Everything that a run leaves but what may differ: times, and in config.json the options that are free.
std::map<std::string, std::string> numbers_of(const std::string& out) {
  std::map<std::string, std::string> files = files_below(out);
  files.erase("timings.jsonl");
  files.erase("config.json");
  return files;
}

void expect_same_run(const std::string& want, const std::string& got, const std::string& what) {
  const auto a = numbers_of(want), b = numbers_of(got);
  EXPECT_GT(a.size(), 12u) << "checkpoints, pictures, a log and a chart are expected";
  for (const auto& [name, bytes] : a) EXPECT_TRUE(b.contains(name) && b.at(name) == bytes) << what << ": " << name;
  EXPECT_EQ(a.size(), b.size()) << what;
}

// How the ranks share the time, in a line of timings or of the bench.
void expect_shares(const Json& line) {
  EXPECT_GT(line.at("exchange"), 0.0);
  EXPECT_LE(line.at("exchange"), line.at("waited_for_ranks"));
  EXPECT_LT(line.at("waited_for_ranks"), 1.0);
  EXPECT_LT(line.at("slowest_rank"), 8);
}

class Batches : public RankCommand, public testing::WithParamInterface<int> {};

TEST_P(Batches, TheFilesOfOneProcess) {
  const TinyRun run;
  const std::string steps = kFewRuns ? "8" : "20", last = kFewRuns ? "08" : "20";
  const Words words =
      run.train +
      Words{"--batch", std::to_string(GetParam()), "--steps", steps, "--checkpoint-every", "4", "--threads", "1"};
  const ChildResult alone = run_ito(words + Words{"--out", run / "alone", "--threads", "2"});
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  for (const int ranks : kFewRuns ? std::vector<int>{3} : std::vector<int>{1, 2, 3, 4, 8}) {
    const std::string name = join_text(ranks, " ranks"), out = run / name;
    Words more{"--out", out};
    if (ranks % 2) more.insert(more.end(), {"--micro-batch", "4"});
    const ChildResult result = run_ranks(ranks, words + more);
    ASSERT_EQ(result.exit_code, 0) << name << ": " << result.err;
    EXPECT_EQ(result.out, "checkpoint " + out + "/checkpoint-0000" + last + "\nloss curve " + out + "/loss.svg\n")
        << "once";
    expect_same_run(run / "alone", out, name);
    const Json timing = read_json_lines(out + "/timings.jsonl").back();
    if (ranks > 1)
      expect_shares(timing);
    else
      EXPECT_FALSE(timing.contains("exchange")) << "one rank exchanges nothing";
  }
}

INSTANTIATE_TEST_SUITE_P(OfChunksAndRagged, Batches,
                         testing::ValuesIn(kFewRuns ? std::vector{30} : std::vector{32, 30}));

TEST_F(RankCommand, ThreeGoOnWithWhatFourBegan) {
  const TinyRun run;
  const Words words =
      run.train +
      Words{"--batch",         "30", "--steps", "6", "--checkpoint-every", "3", "--flip", "--ema", "sigma-rel-0.1,0.9",
            "--ema-snapshots", "3"};
  ASSERT_EQ(run_ito(words + Words{"--out", run / "alone"}).exit_code, 0);
  ASSERT_EQ(run_ranks(4, words + Words{"--out", run / "moved"}).exit_code, 0);
  std::filesystem::remove_all(run / "moved/checkpoint-000006");
  const ChildResult result = run_ranks(3, words + Words{"--out", run / "moved", "--resume"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("going on from " + (run / "moved/checkpoint-000003")), std::string::npos) << result.err;
  expect_same_run(run / "alone", run / "moved", "4 ranks, then 3");
}

std::string weights_of(const std::string& out) {
  return read_bytes(out + "/checkpoint-000006/unet/diffusion_pytorch_model.safetensors");
}

// Wherever the images are kept: files, one file or shards that are mapped into memory. A packed data set counts as the
// one that it was made of, in every file of the run, and when a run goes on.
TEST_F(RankCommand, DataThatIsFetchedGivesTheSameRun) {
  const TinyRun run;
  const Words words = run.train + Words{"--batch", "30", "--steps", "6", "--checkpoint-every", "3", "--flip"};
  ASSERT_EQ(run_ito(words + Words{"--out", run / "alone"}).exit_code, 0);
  const std::string one = run / "one.safetensors", shards = run / "shards.safetensors";
  const ChildResult packed = run_ito({"pack", "--data", run.images, "--out", one});
  ASSERT_EQ(packed.exit_code, 0) << packed.err;
  EXPECT_EQ(packed.out, one + "\n");
  EXPECT_NE(packed.err.find("packed 12 images of 8 x 8 x 1 in 3 classes"), std::string::npos) << packed.err;
  ASSERT_EQ(run_ito({"pack", "--data", run.images, "--out", shards, "--shards", "5"}).exit_code, 0);
  const ChildResult mapped = run_ito(words + Words{"--data", one, "--out", run / "mapped"});
  ASSERT_EQ(mapped.exit_code, 0) << mapped.err;
  EXPECT_NE(mapped.err.find("12 images of 8 x 8 x 1, read as they are needed"), std::string::npos) << mapped.err;
  expect_same_run(run / "alone", run / "mapped", "packed");
  const ChildResult shared = run_ranks(3, words + Words{"--data", shards + ".index.json", "--out", run / "shared"});
  ASSERT_EQ(shared.exit_code, 0) << shared.err;
  expect_same_run(run / "alone", run / "shared", "shards, 3 ranks");
  const ChildResult fetched = run_ranks(2, words + Words{"--stream", "--out", run / "fetched"});
  ASSERT_EQ(fetched.exit_code, 0) << fetched.err;
  EXPECT_EQ(weights_of(run / "fetched"), weights_of(run / "alone"));
  for (const Words& more : {Words{"--data", one}, Words{"--data", run.images}}) {  // what was fetched, and was not
    std::filesystem::remove_all(run / "fetched/checkpoint-000006");
    const ChildResult resumed = run_ito(words + more + Words{"--out", run / "fetched", "--resume"});
    ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_EQ(weights_of(run / "fetched"), weights_of(run / "alone"));
  }
  std::filesystem::remove_all(run / "mapped/checkpoint-000006");
  write_png(run / "images/class1/2.png", tiny_image(0, 0));
  const ChildResult other = run_ito(words + Words{"--out", run / "mapped", "--stream", "--resume"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("resume with the same data"), std::string::npos) << other.err;
}

// An image that cannot be read is met when its step comes: what was trained until then is saved.
TEST_F(RankCommand, ADamagedImageEndsTheRunWithItsSteps) {
  const TinyRun run;
  const std::string bad = run.folder.write("images/class1/2.png", "no image");
  const Words words = run.train + Words{"--batch", "4", "--steps", "6", "--stream"};
  const ChildResult ended = run_ito(words + Words{"--out", run / "out", "--seed", "2"});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_NE(ended.err.find(": " + bad + ": is neither a PNG nor a JPEG image (by its first bytes); "),
            std::string::npos)
      << ended.err;
  EXPECT_NE(ended.err.find(" is whole: go on with --resume"), std::string::npos) << ended.err;
}

TEST_F(RankCommand, AStepIsTimedOnAllRanks) {
  const TinyRun run;
  const ChildResult result = run_ranks(
      3, {"bench", "train", "--model", run.model, "--batch", "20", "--repetitions", "2", "--largest", "64", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json line = parse_json(result.out, "the report");
  EXPECT_EQ(line.at("ranks"), 3);
  expect_shares(line);
  const ChildResult refused = run_ranks(2, {"bench", "sample", "--model", run.model});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("rank 0 of 2 on "), std::string::npos) << refused.err;
  EXPECT_EQ(refused.err.find("rank 1 of 2 on "), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace ito
