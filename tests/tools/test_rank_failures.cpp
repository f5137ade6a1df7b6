// SPDX-License-Identifier: Apache-2.0
// Ranks that die, are told to stop, differ or never come: all of a run end, in one line, and what it has saved is
// whole.
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <fstream>
#include <random>
#include <thread>

#include "engine/checkpoint/run_checkpoints.h"
#include "tests/tools/rank_run.h"

namespace ito {
namespace {

using Clock = std::chrono::steady_clock;

// A run of mpirun in a group of its own, so that nothing of it can be left.
class Launched {
 public:
  Launched(int ranks, const Words& arguments, const std::string& errors) {
    Words words = mpirun_words(ranks);
    words.push_back(program_path("ito"));
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    child_ = fork();
    if (child_ != 0) return;
    const int out = open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execv(pointers[0], pointers.data());
    _exit(127);
  }
  ~Launched() {
    if (child_ > 0) {
      for (const auto& [rank, process] : ranks()) ::kill(process, SIGKILL);
      ::kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
  }
  Launched(const Launched&) = delete;
  Launched& operator=(const Launched&) = delete;

  // The processes of the run by rank, as their environment tells.
  std::map<int, pid_t> ranks() const {
    std::map<int, pid_t> found;
    for (const auto& item : std::filesystem::directory_iterator("/proc")) {
      const pid_t process = static_cast<pid_t>(std::atoi(item.path().filename().c_str()));
      if (process <= 0 || parent_of(process) != child_) continue;
      const std::string variables = read_bytes(item.path() / "environ");
      const size_t at = variables.find("OMPI_COMM_WORLD_RANK=");
      if (at != std::string::npos) found[std::atoi(variables.c_str() + at + 21)] = process;
    }
    return found;
  }
  bool ended() {
    if (child_ > 0 && waitpid(child_, &status_, WNOHANG) == child_) child_ = -1;
    return child_ < 0;
  }
  // Whether it ended in so many seconds.
  bool ends_within(double seconds) {
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    while (!ended() && Clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return child_ < 0;
  }
  pid_t process() const { return child_; }
  int exit_code() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : 1000 + WTERMSIG(status_); }

 private:
  static pid_t parent_of(pid_t process) {
    std::ifstream file(join_text("/proc/", process, "/stat"));
    std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const size_t at = text.rfind(") ");
    return at == std::string::npos ? -1 : static_cast<pid_t>(std::atoi(text.c_str() + at + 4));
  }

  pid_t child_ = -1;
  int status_ = 0;
};

// Polls until it holds; false if the run ended before.
template <class Condition>
bool wait_until(Launched& run, const Condition& condition) {
  while (!condition()) {
    if (run.ended()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// A moment may pass between mpirun's end and that of a process it has killed; one that no parent takes leave of has
// ended too.
bool is_gone(pid_t process) {
  for (int i = 0; i < 500; ++i) {
    const std::string status = ::kill(process, 0) == 0 ? read_bytes(join_text("/proc/", process, "/stat")) : "";
    const size_t at = status.rfind(") ");
    if (at == std::string::npos || status[at + 2] == 'Z') return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

int64_t newest_step(const std::string& out) {
  const auto found = newest_checkpoint(out, {"unet"});
  return found ? found->step : 0;
}

void expect_same_numbers(const std::string& want, const std::string& got) {
  for (const char* name : {"/metrics.jsonl", "/latest"}) EXPECT_EQ(read_bytes(want + name), read_bytes(got + name));
  std::string latest = read_bytes(want + "/latest");
  latest.pop_back();
  expect_same_files(want + "/" + latest, got + "/" + latest);
}

using RankFailures = RankCommand;

TEST_F(RankFailures, KillsAtAnyMomentLeaveARunThatGoesOn) {
  constexpr int kKills = kFewRuns ? 1 : 10;
  const TinyRun run;
  const Words words = run.train + Words{"--batch",     "12", "--steps",        "60", "--checkpoint-every", "1",
                                        "--keep-last", "2",  "--sample-every", "60"};
  ASSERT_EQ(run_ito(words + Words{"--out", run / "whole"}).exit_code, 0);
  std::mt19937 random(3);
  const std::string out = run / "killed";
  int done = 0;
  for (int kill = 0; kill < kKills; ++kill) {
    const int64_t before = newest_step(out);
    Launched launched(3, words + Words{"--out", out, "--resume"}, run / "errors");
    ASSERT_TRUE(wait_until(launched, [&] { return newest_step(out) > before + 1; })) << read_bytes(run / "errors");
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 40000));
    const std::map<int, pid_t> ranks = launched.ranks();
    if (ranks.size() == 3 && ::kill(ranks.at(static_cast<int>(random() % 3)), SIGKILL) == 0) ++done;
    ASSERT_TRUE(launched.ends_within(30)) << read_bytes(run / "errors");
    EXPECT_TRUE(launched.exit_code() != 0 || newest_step(out) == 60);
    for (const auto& [rank, process] : ranks) EXPECT_TRUE(is_gone(process)) << "rank " << rank << " is left";
    std::string latest = read_bytes(out + "/latest");
    ASSERT_FALSE(latest.empty());
    latest.pop_back();
    EXPECT_TRUE(is_whole_model(out + "/" + latest, {"unet"})) << latest;
  }
  EXPECT_GE(done, kKills - 3) << "the run was over too soon for the test to mean much";
  const ChildResult last = run_ranks(2, words + Words{"--out", out, "--resume"});
  ASSERT_EQ(last.exit_code, 0) << last.err;
  expect_same_numbers(run / "whole", out);
}

// To one rank, as a cluster's daemon may do, or to mpirun, which hands SIGUSR1 on to all.
void expect_stop(int signal_number, const std::string& name, bool to_mpirun) {
  const TinyRun run;
  const Words words = run.train + Words{"--batch", "12", "--lr-schedule", "constant", "--checkpoint-every", "5"};
  const std::string out = run / "stopped";
  Launched launched(3, words + Words{"--out", out, "--steps", "1000000"}, run / "errors");
  ASSERT_TRUE(wait_until(launched, [&] { return newest_step(out) > 0; })) << read_bytes(run / "errors");
  ::kill(to_mpirun ? launched.process() : launched.ranks().at(2), signal_number);
  ASSERT_TRUE(launched.ends_within(30));
  EXPECT_EQ(launched.exit_code(), 128 + signal_number) << read_bytes(run / "errors");
  const std::string errors = read_bytes(run / "errors");
  EXPECT_NE(errors.find("stopped by " + name + " after step "), std::string::npos) << errors;
  const int64_t step = newest_step(out);
  const ChildResult more = run_ranks(2, words + Words{"--out", out, "--resume", "--steps", std::to_string(step + 3)});
  EXPECT_EQ(more.exit_code, 0) << more.err;
  EXPECT_NE(more.err.find("going on from " + out), std::string::npos) << more.err;
}

TEST_F(RankFailures, ASignalToOneStopsAllAfterTheSameStep) {
  expect_stop(SIGTERM, "SIGTERM", false);
}
TEST_F(RankFailures, WhatMpirunHandsOnStopsAll) {
  if (kFewRuns) GTEST_SKIP() << "the same stop as above";
  expect_stop(SIGUSR1, "SIGUSR1", true);
}

// The program's own lines: mpirun adds some of its own.
size_t own_lines(const std::string& text) {
  size_t lines = 0;
  for (size_t at = 0; (at = text.find(": ito: ", at)) != std::string::npos; ++at) ++lines;
  return lines;
}
void expect_refused(const ChildResult& result, const std::string& part) {
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(own_lines(result.err), 1u) << result.err;
  EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  EXPECT_EQ(result.out, "");
}

// Ranks with arguments of their own, as mpirun's colon gives them.
ChildResult run_apart(const std::vector<Words>& programs, const Words& variables = {}) {
  Words words = mpirun_words(1);
  words.insert(words.begin() + 1, variables.begin(), variables.end());
  for (size_t i = 0; i < programs.size(); ++i) {
    if (i > 0) words.insert(words.end(), {":", "-n", "1"});
    words.insert(words.end(), programs[i].begin(), programs[i].end());
  }
  return run_child(words);
}

TEST_F(RankFailures, WhatDoesNotFitIsToldOnceAndWritesNothing) {
  const TinyRun run;
  const std::string out = run / "out";
  const Words words = run.train + Words{"--steps", "3", "--out", out};
  const auto ito = [&](const Words& more) { return Words{program_path("ito")} + (words + more); };
  expect_refused(run_ranks(3, words), "batch");  // two chunks
  if (kFewRuns) return;                          // the others are refused on the same way out
  expect_refused(run_ranks(2, words + Words{"--lr", "fast"}), "--lr 'fast': expected a number");
  expect_refused(run_ranks(2, {"inspect", run.model}), "inspect: runs as one process");
  expect_refused(run_apart({ito({"--seed", "5"}), ito({"--seed", "6"})}),
                 "the ranks differ in their options: rank 0: ");
  write_png(run / "images/class0/more.png", tiny_image(0, 9));
  std::filesystem::create_directories(run / "other");
  std::filesystem::copy(run.images, run / "other/images", std::filesystem::copy_options::recursive);
  std::filesystem::remove(run / "images/class0/more.png");
  const auto there = [&](const std::string& folder) {
    return Words{"/usr/bin/env", "-C", run / folder} + ito({"--data", "images"});
  };
  expect_refused(run_apart({there("."), there("other")}), "the ranks differ in their data: rank 0: ");
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(RankFailures, AnErrorOnOneNamesItAndEndsAll) {
  const TinyRun run;
  const Words train = Words{program_path("ito")} + (run.train + Words{"--steps", "3", "--out", run / "out"});
  const auto begin = Clock::now();
  const ChildResult result = run_apart({train, Words{"/usr/bin/env", "ITO_MEMORY_LIMIT_MIB=1"} + train});
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(30));
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_NE(result.err.find("rank 1 of 2 on "), std::string::npos) << result.err;
  EXPECT_FALSE(std::filesystem::exists(run / "out"));
}

TEST_F(RankFailures, OneThatNeverComesEndsTheStart) {
  if (kFewRuns) GTEST_SKIP() << "what MPI waits for is not ours to look into";
  const TinyRun run;
  const Words train = Words{program_path("ito")} + (run.train + Words{"--steps", "3", "--out", run / "out"});
  const auto begin = Clock::now();
  const ChildResult result = run_apart({train, {"/bin/sleep", "60"}}, {"ITO_START_LIMIT=3"});
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(30));
  EXPECT_NE(result.exit_code, 0);
  EXPECT_NE(result.err.find("rank 0 of 2 on "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(": the ranks have not met within 3 s: "), std::string::npos) << result.err;
  EXPECT_FALSE(std::filesystem::exists(run / "out"));
}

}  // namespace
}  // namespace ito
