// SPDX-License-Identifier: Apache-2.0
// Items shared by mpirun: images, restorations, points and predictions have the files and the words of one process on
// any number of ranks, also where these do not divide the items or are more of them.
#include <filesystem>
#include <string>

#include "models/mixture/mixture_config.h"
#include "tests/models/mixture/two_bumps.h"
#include "tests/tools/rank_run.h"

namespace ito {
namespace {

constexpr int kTimesteps = 60;

class RankSampling : public RankCommand {
 protected:
  static void SetUpTestSuite() {
    tiny_ = new TinyRun;
    const Json few_timesteps{{"_class_name", "DDPMScheduler"}, {"num_train_timesteps", kTimesteps}};
    const std::string scheduler = tiny_->folder.write("scheduler.json", json_text(few_timesteps));
    const Words train = tiny_->train + Words{"--out", *tiny_ / "run", "--steps", "4", "--scheduler", scheduler};
    ASSERT_EQ(run_ito(train).exit_code, 0);
  }
  static void TearDownTestSuite() { delete tiny_; }
  static std::string path(const std::string& name) { return *tiny_ / name; }
  static Words of_run(const std::string& command, const Words& more) {
    return Words{command, "--checkpoint", path("run"), "--batch", "2"} + more;
  }

  // words: without what names the output, of which flag and path are given.
  static void expect_as_alone(const Words& words, const std::vector<int>& ranks, const char* flag = "--out",
                              const std::string& out = path("out")) {
    const ChildResult alone = run_ito(words + Words{flag, out});
    ASSERT_EQ(alone.exit_code, 0) << alone.err;
    std::filesystem::rename(out, path("alone"));
    for (const int count : kFewRuns ? std::vector<int>{ranks.back()} : ranks) {
      const ChildResult shared = run_ranks(count, words + Words{flag, out});
      ASSERT_EQ(shared.exit_code, 0) << count << " ranks: " << shared.err;
      EXPECT_EQ(shared.out, alone.out) << count << " ranks";
      EXPECT_EQ(notes(shared.err), notes(alone.err)) << count << " ranks";
      if (std::filesystem::is_directory(out))
        expect_same_files(path("alone"), out);
      else
        EXPECT_TRUE(read_bytes(path("alone")) == read_bytes(out)) << count << " ranks";
      std::filesystem::remove_all(out);
    }
    std::filesystem::remove_all(path("alone"));
  }

  // Without progress, whose lines have a count.
  static std::string notes(const std::string& err) {
    std::istringstream lines(err);
    std::string kept;
    for (std::string line; std::getline(lines, line);)
      if (line.find(" left") == std::string::npos) kept += line + "\n";
    return kept;
  }

  static TinyRun* tiny_;
};
TinyRun* RankSampling::tiny_ = nullptr;

constexpr char kAsImages[] = "items are shared out and gathered as images are";
const Words kDdpm{"--sampler", "ddpm", "--steps", "6"};

TEST_F(RankSampling, Images) {
  expect_as_alone(of_run("sample", kDdpm + Words{"--count", "5", "--first", "3", "--npz", "--strip"}), {2, 3});
}

// More ranks than images; the mean of all images' evaluations is told.
TEST_F(RankSampling, ImagesThatChooseTheirSteps) {
  if (kFewRuns) GTEST_SKIP() << kAsImages;
  const Words words = of_run("sample", {"--sampler", "ode45", "--set", "rtol=0.001", "--set", "atol=0.001"});
  expect_as_alone(words + Words{"--count", "2", "--seed", "0"}, {3});
  expect_as_alone(words + Words{"--count", "5", "--seed", "1"}, {2});
}

// PyTorch's noise of an image depends on all that are drawn with it.
TEST_F(RankSampling, NoiseOfAllImages) {
  if (kFewRuns) GTEST_SKIP() << kAsImages;
  expect_as_alone(of_run("sample", kDdpm + Words{"--count", "5", "--noise", "torch-cpu", "--raw"}), {3});
  constexpr int kDraws = 6, kCount = 5, kSize = kTinySize * kTinySize;
  std::vector<float> noise;
  for (int i = 0; i < kDraws * kCount * kSize; ++i) noise.push_back(static_cast<float>(i % 97) / 48 - 1);
  SafetensorsWriter steps, initial;
  steps.add("noise", {kDraws, kCount, 1, kTinySize, kTinySize}, noise);
  steps.write(path("steps.safetensors"));
  initial.add("noise", {kCount, 1, kTinySize, kTinySize}, std::span(noise).first(kCount * kSize));
  initial.write(path("initial.safetensors"));
  expect_as_alone(of_run("sample", kDdpm + Words{"--count", "5", "--raw", "--step-noise", path("steps.safetensors"),
                                                 "--initial-noise", path("initial.safetensors")}),
                  {2});
}

TEST_F(RankSampling, Likelihoods) {
  if (kFewRuns) GTEST_SKIP() << kAsImages;
  const Words words = of_run("likelihood", {"--data", tiny_->images, "--first", "1"});
  expect_as_alone(words + Words{"--rtol", "0.1", "--atol", "0.1", "--count", "5", "--dequantise", "uniform"}, {2, 3});
  expect_as_alone(words + Words{"--method", "vlb", "--count", "5", "--batch", "64"}, {3});
}

TEST_F(RankSampling, WhatIsMeasuredOfAModel) {
  if (kFewRuns) GTEST_SKIP() << kAsImages;
  expect_as_alone(of_run("reverse-stats", {"--data", tiny_->images, "--per-timestep", "2", "--batch", "64"}), {3},
                  "--out", path("statistics.json"));
}

TEST_F(RankSampling, Predictions) {
  constexpr int kCount = 5, kSize = kTinySize * kTinySize;
  std::vector<float> x;
  for (int i = 0; i < kCount * kSize; ++i) x.push_back(static_cast<float>(i % 97) / 48 - 1);
  SafetensorsWriter writer;
  writer.add("sample", {kCount, 1, kTinySize, kTinySize}, x);
  writer.add_i64("timestep", {kCount}, {0, 59, 5, 40, 30});
  writer.add_i64("class_labels", {kCount}, {0, 1, 2, 1, 0});
  writer.write(path("in.safetensors"));
  expect_as_alone(of_run("predict", {"--input", path("in.safetensors")}), {3}, "--output", path("prediction"));
}

TEST_F(RankSampling, Restorations) {
  const std::string mixture = tiny_->folder.write("m.json", json_text(test::three_images())), y = path("y.safetensors"),
                    out = path("restored");
  const GaussianMixture density = mixture_config_from_json(test::three_images(), "m.json", nullptr).mixture();
  std::vector<float> x;
  for (uint32_t i = 0; i < 5; ++i)
    for (const double value : density.sample(1, i)) x.push_back(static_cast<float>(value));
  SafetensorsWriter writer;
  writer.add("samples", {5, 2, 2, 4}, x);
  writer.write(path("x.safetensors"));
  ASSERT_EQ(run_ito({"measure", "--data", path("x.safetensors"), "--operator", "inpaint:random:0.5", "--sigma-y",
                     "0.15", "--count", "5", "--out", y})
                .exit_code,
            0);
  const Words words{"restore", "--checkpoint", mixture, "--measurements", y,  "--solver", "ddrm", "--steps",
                    "5",       "--draws",      "3",     "--batch",        "3"};
  expect_as_alone(words, {2, 3});
  if (kFewRuns) return;
  expect_as_alone(words + Words{"--first", "3"}, {3});
  // What one process began, three go on with: of five measurements two are missing, and not beside each other.
  ASSERT_EQ(run_ito(words + Words{"--out", path("whole")}).exit_code, 0);
  std::filesystem::create_directories(out + "/restored.json");  // the report cannot be written: all parts stay
  ASSERT_EQ(run_ito(words + Words{"--out", out}).exit_code, 2);
  for (const int at : {1, 3})
    ASSERT_TRUE(std::filesystem::remove(join_text(out, "/parts/measurements-", at, "+1.safetensors")));
  std::filesystem::remove(out + "/restored.json");
  const ChildResult result = run_ranks(3, words + Words{"--out", out});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_same_files(path("whole"), out);
}

TEST_F(RankSampling, OfDifferentOptionsIsRefused) {
  Words words = mpirun_words(1);
  const Words sample = of_run("sample", kDdpm + Words{"--count", "2", "--out", path("no")});
  for (const char* seed : {"1", "2"}) {
    if (*seed == '2') words.insert(words.end(), {":", "-n", "1"});
    words.push_back(program_path("ito"));
    words.insert(words.end(), sample.begin(), sample.end());
    words.insert(words.end(), {"--seed", seed});
  }
  const ChildResult result = run_child(words);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_NE(result.err.find("the ranks differ in their --seed: rank 0: 1; rank 1: 2; start all alike"),
            std::string::npos)
      << result.err;
  EXPECT_FALSE(std::filesystem::exists(path("no")));
}

}  // namespace
}  // namespace ito
