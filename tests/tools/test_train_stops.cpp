// SPDX-License-Identifier: Apache-2.0
// How a training run ends early and what it leaves: signals, steps without finite gradients, checkpoints that are
// pruned, remains that are removed.
#include "engine/data/order.h"
#include "tests/tools/child_process.h"
#include "tests/tools/training_run.h"

namespace ito {
namespace {

using Strings = std::vector<std::string>;

std::vector<Json> metrics_of(const TrainingRun& run) {
  std::vector<Json> lines;
  std::istringstream text(read_bytes(run.path("metrics.jsonl")));
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

void expect_stop_saves(int signal_number, const std::string& name) {
  const Strings options = training_options(400);
  TrainingRun whole, stopped;
  ASSERT_EQ(whole.run(options), 0) << whole.errors();
  stopped.start(options);
  ASSERT_TRUE(stopped.wait_until([&] { return !read_bytes(stopped.path("metrics.jsonl")).empty(); }));
  ASSERT_EQ(stopped.kill_and_wait(signal_number), 128 + signal_number) << stopped.errors();
  const std::set<std::string> saved = stopped.checkpoints();
  ASSERT_EQ(saved.size(), 1u);  // it had none of its own to write before the end
  EXPECT_EQ(read_bytes(stopped.path("latest")), *saved.begin() + "\n");
  EXPECT_NE(stopped.errors().find("ito: stopped by " + name + " after step "), std::string::npos) << stopped.errors();
  ASSERT_EQ(stopped.run({"--resume", "--keep-last", "1"}), 0) << stopped.errors();
  expect_equal_folders(whole.path(), stopped.path(), {"timings.jsonl", "config.json"});
}

TEST(StopSignals, InterruptSavesAndTheRunGoesOn) {
  expect_stop_saves(SIGINT, "SIGINT");
}

TEST(StopSignals, TerminateSavesAndTheRunGoesOn) {
  if (kFewRuns) GTEST_SKIP() << "as an interrupt";
  expect_stop_saves(SIGTERM, "SIGTERM");
}

TEST(StopSignals, HangUpSavesAndTheRunGoesOn) {
  if (kFewRuns) GTEST_SKIP() << "as an interrupt";
  expect_stop_saves(SIGHUP, "SIGHUP");
}

TEST(StopSignals, HangUpStaysIgnoredUnderNohup) {
  TrainingRun run;
  run.ignore_hangup();
  run.start(training_options(60));
  ASSERT_TRUE(run.wait_until([&] { return !read_bytes(run.path("metrics.jsonl")).empty(); })) << run.errors();
  EXPECT_EQ(run.kill_and_wait(SIGHUP), 0) << run.errors();
  EXPECT_EQ(read_bytes(run.path("latest")), "checkpoint-000060\n");
}

// A step of the demo model on this many images takes most of a second.
void write_large_images(const TrainingRun& run, int64_t count) {
  SafetensorsWriter writer;
  writer.add_u8("samples", {count, 1, 28, 28}, std::vector<uint8_t>(static_cast<size_t>(count) * 784, 100));
  writer.write(run.beside("large.safetensors"));
}

Strings large_options(int64_t batch) {
  return {"--data",  "large.safetensors",   "--model",   "demo", "--steps",  "9",
          "--batch", std::to_string(batch), "--threads", "1",    "--warmup", "0"};
}

// A terminal that closes is told of twice, a service that stops by SIGTERM and SIGHUP, and timeout(1) sends its signal
// twice: one request each.
TEST(StopSignals, WhatComesWithTheFirstIsNoSecondOne) {
  const std::pair<int, int> requests[] = {{SIGHUP, SIGHUP}, {SIGTERM, SIGHUP}, {SIGHUP, SIGTERM}, {SIGTERM, SIGTERM}};
  for (const auto& [first, then] : requests) {
    SCOPED_TRACE(std::to_string(first) + " " + std::to_string(then));
    TrainingRun run;
    write_large_images(run, 64);
    run.start(large_options(64));
    ASSERT_TRUE(run.wait_until([&] { return run.has("timings.jsonl"); })) << run.errors();
    run.send(first);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(run.kill_and_wait(then), 128 + first) << run.errors();
    EXPECT_EQ(run.checkpoints().size(), 1u) << run.errors();
  }
}

// A step of the demo model on 256 images takes seconds; the second signal must not wait for its end and the checkpoint.
TEST(StopSignals, TheSecondEndsTheRunAtOnce) {
  TrainingRun run;
  write_large_images(run, 256);
  run.start(large_options(256));
  ASSERT_TRUE(run.wait_until([&] { return run.has("timings.jsonl"); })) << run.errors();
  run.send(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_EQ(run.kill_and_wait(SIGTERM), 128 + SIGINT);
  EXPECT_TRUE(run.checkpoints().empty());
  EXPECT_FALSE(run.has_leftovers());
}

TEST(Checkpoints, TheLastFewAndEveryFifthStay) {
  using Names = std::set<std::string>;
  const Strings every_step{"--checkpoint-every", "1"};
  TrainingRun usual;
  ASSERT_EQ(usual.run(training_options(12, every_step)), 0) << usual.errors();
  EXPECT_EQ(usual.checkpoints(), (Names{"checkpoint-000010", "checkpoint-000011", "checkpoint-000012"}));
  TrainingRun fifth;
  ASSERT_EQ(fifth.run(training_options(12, {"--checkpoint-every", "1", "--keep-last", "1", "--keep-every", "5"})), 0);
  EXPECT_EQ(fifth.checkpoints(), (Names{"checkpoint-000005", "checkpoint-000010", "checkpoint-000012"}));
  TrainingRun all;
  ASSERT_EQ(all.run(training_options(12, {"--checkpoint-every", "1", "--keep-last", "0"})), 0) << all.errors();
  EXPECT_EQ(all.checkpoints().size(), 12u);
  ASSERT_EQ(all.run({"--resume", "--keep-last", "2"}), 0) << all.errors();
  EXPECT_EQ(all.checkpoints(), (Names{"checkpoint-000011", "checkpoint-000012"}));
}

TEST(Leftovers, OursAreRemovedAtTheStartAndOthersStay) {
  TrainingRun run;
  for (const char* name : {"run/checkpoint-000099.partial/unet/junk", "run/checkpoint-000001.partial-removed/junk",
                           "run/latest.partial-12-0", "run/loss.svg.partial-12-3", "run/film.partial"}) {
    std::filesystem::create_directories(std::filesystem::path(run.beside(name)).parent_path());
    std::ofstream(run.beside(name)) << "half";
  }
  ASSERT_EQ(run.run(training_options(3)), 0) << run.errors();
  EXPECT_TRUE(run.has("film.partial"));
  std::filesystem::remove(run.path("film.partial"));
  EXPECT_FALSE(run.has_leftovers());
}

TEST(Folder, TakesOneTrainerAtATime) {
  TrainingRun run;
  run.start(training_options(4000));
  ASSERT_TRUE(run.wait_until([&] { return !read_bytes(run.path("metrics.jsonl")).empty(); })) << run.errors();
  TrainingRun second;
  std::filesystem::create_directory_symlink(run.path(), second.beside("run"));
  EXPECT_EQ(second.run({"--resume", "--data", "data.safetensors", "--model", "model.json"}), 2);
  EXPECT_NE(second.errors().find("another training run is writing there"), std::string::npos) << second.errors();
  EXPECT_EQ(run.kill_and_wait(SIGTERM), 128 + SIGTERM) << run.errors();
}

// A mistake that is found late must not leave a folder behind that the corrected command is refused.
TEST(Folder, StaysUntouchedByACommandThatIsRefused) {
  TrainingRun run;
  EXPECT_EQ(run.run(training_options(3, {"--micro-batch", "3"})), 2);
  EXPECT_FALSE(run.has(""));
  EXPECT_EQ(run.run(training_options(3)), 0) << run.errors();
}

TEST(NonFinite, AStepIsSkippedCountedAndTheRunGoesOn) {
  TrainingRun run({3});  // one batch in five
  ASSERT_EQ(run.run(training_options(15)), 0) << run.errors();
  const std::vector<Json> lines = metrics_of(run);
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines.back()["skipped"], 3);  // 15 steps of 8 are three epochs of 40
  for (const Json& line : lines) EXPECT_TRUE(line["loss"].is_number()) << line;
}

TEST(NonFinite, TooManyInARowEndTheRunAndLeaveTheLastCheckpoint) {
  std::set<int> all;
  for (int i = 0; i < 40; ++i) all.insert(i);
  TrainingRun run(all);
  EXPECT_EQ(run.run(training_options(60, {"--checkpoint-every", "2", "--max-skipped", "7"})), 1);
  // The log is written every three steps: 9 is the first at or past 7.
  const std::string message =
      "ito: step 9: the last 9 steps had a non-finite loss or gradient and were skipped (--max-skipped 7); "
      "run/checkpoint-000008 is whole; look at the data, or start a new run with a lower --lr\n";
  EXPECT_TRUE(run.errors().ends_with(message)) << run.errors();
  EXPECT_EQ(metrics_of(run).back()["skipped"], 9);
  EXPECT_TRUE(metrics_of(run).back()["loss"].is_null());
  EXPECT_EQ(read_bytes(run.path("latest")), "checkpoint-000008\n");
  EXPECT_EQ(run.run({"run"}, "inspect"), 0) << run.errors();
  EXPECT_EQ(run.run({"--resume"}), 1);  // from 8, and stopped at 9 again
  EXPECT_TRUE(run.errors().ends_with(message)) << run.errors();
}

// Images that make steps 2 and 3 of the first epoch, five steps of 8, fail, and no other.
std::set<int> poison_of_steps_2_and_3() {
  DataOrder order(7, 40);
  return {static_cast<int>(order.index(8)), static_cast<int>(order.index(23))};
}

TEST(NonFinite, AStreakThatEndsBeforeALineOfTheLogCounts) {
  const Strings options = training_options(5, {"--log-every", "5", "--checkpoint-every", "4"});
  const auto with = [&](const char* most) {
    Strings all = options;
    for (size_t i = 0; i + 1 < all.size(); ++i)
      if (all[i] == "--log-every" && all[i + 1] == "3") all.erase(all.begin() + i, all.begin() + i + 2);
    all.insert(all.end(), {"--max-skipped", most});
    return all;
  };
  TrainingRun three(poison_of_steps_2_and_3());
  EXPECT_EQ(three.run(with("3")), 0) << three.errors();
  EXPECT_EQ(metrics_of(three).back()["skipped"], 2);

  TrainingRun two(poison_of_steps_2_and_3());
  EXPECT_EQ(two.run(with("2")), 1);
  const std::string message =
      "ito: step 5: 2 steps in a row before it had a non-finite loss or gradient and were skipped (--max-skipped 2); "
      "run/checkpoint-000004 is whole; look at the data, or start a new run with a lower --lr\n";
  EXPECT_TRUE(two.errors().ends_with(message)) << two.errors();
  EXPECT_EQ(two.run({"--resume"}), 1) << "the checkpoint after the streak does not know of it";
  EXPECT_TRUE(two.errors().ends_with(message)) << two.errors();
}

// A folder in the preview's place stands for whatever fails between two steps: no memory, no space.
TEST(Errors, BetweenTwoStepsTheStateIsSaved) {
  TrainingRun run;
  ASSERT_EQ(run.run(training_options(10, {"--checkpoint-every", "4", "--sample-every", "5"})), 0) << run.errors();
  for (const std::string& checkpoint : run.checkpoints())
    if (checkpoint != "checkpoint-000004") std::filesystem::remove_all(run.path(checkpoint));
  std::filesystem::remove(run.path("samples-000005.png"));
  std::filesystem::create_directories(run.path("samples-000005.png/folder"));
  EXPECT_EQ(run.run({"--resume"}), 2);
  EXPECT_NE(run.errors().find("\nito: step 5: run/samples-000005.png: "), std::string::npos) << run.errors();
  EXPECT_TRUE(run.errors().ends_with("; run/checkpoint-000005 is whole: go on with --resume\n")) << run.errors();
  EXPECT_EQ(read_bytes(run.path("latest")), "checkpoint-000005\n");
  std::filesystem::remove_all(run.path("samples-000005.png"));
  EXPECT_EQ(run.run({"--resume"}), 0) << run.errors();
}

}  // namespace
}  // namespace ito
