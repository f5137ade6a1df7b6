// SPDX-License-Identifier: Apache-2.0
// For tests of whole training runs: a data set and a model so small that most of a run's time goes into its files, and
// the trainer as a child that can be signalled at a chosen moment.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/io/json_file.h"
#include "engine/io/safetensors.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {

// 40 images of 8x8, one channel. A poisoned one is so large that the square of its distance from any prediction
// overflows (training_options asks for the image itself to be predicted), so that its batch's step is skipped.
inline void write_images(const std::string& path, float amplitude, const std::set<int>& poisoned) {
  std::vector<float> samples(40 * 64);
  for (int i = 0; i < 40 * 64; ++i)
    samples[i] = poisoned.count(i / 64) ? (i % 2 ? -3e38f : 3e38f)
                                        : amplitude * static_cast<float>(std::sin(0.7 * i + 0.01 * i * i));
  SafetensorsWriter writer;
  writer.add("samples", {40, 1, 8, 8}, samples);
  writer.write(path);
}

inline void write_small_model(const std::string& path, int channels = 4) {
  write_json_file(path, {{"in_channels", 1},
                         {"out_channels", 1},
                         {"block_out_channels", {channels, 8}},
                         {"layers_per_block", 1},
                         {"norm_num_groups", 2},
                         {"down_block_types", {"DownBlock2D", "DownBlock2D"}},
                         {"up_block_types", {"UpBlock2D", "UpBlock2D"}},
                         {"dropout", 0.1},
                         {"sample_size", 8}});
}

inline std::set<std::string> files_below(const std::string& root) {
  std::set<std::string> files;
  for (const auto& item : std::filesystem::recursive_directory_iterator(root))
    if (item.is_regular_file()) files.insert(std::filesystem::relative(item.path(), root).string());
  return files;
}

// `ito-cpu train` in a folder of its own, which holds data.safetensors, model.json and the run in run/.
class TrainingRun {
 public:
  explicit TrainingRun(const std::set<int>& poisoned = {}) {
    write_images(folder_ / "data.safetensors", 0.8f, poisoned);
    write_small_model(folder_ / "model.json");
  }
  ~TrainingRun() {
    if (child_ > 0) kill_and_wait(SIGKILL);
  }

  std::string path(const std::string& name = "") const { return folder_ / ("run/" + name); }
  std::string beside(const std::string& name) const { return folder_ / name; }
  std::string errors() const { return read_bytes(folder_ / "stderr"); }
  bool has(const std::string& name) const { return std::filesystem::exists(path(name)); }
  std::set<std::string> names() const {
    std::set<std::string> all;
    if (!has("")) return all;
    for (const auto& item : std::filesystem::directory_iterator(path())) all.insert(item.path().filename().string());
    return all;
  }
  std::set<std::string> checkpoints() const {
    std::set<std::string> found;
    for (const std::string& name : names())
      if (name.starts_with("checkpoint-") && name.find(".partial") == std::string::npos) found.insert(name);
    return found;
  }
  bool has_leftovers() const {
    for (const std::string& name : names())
      if (name.find(".partial") != std::string::npos) return true;
    return false;
  }

  // Options: those of a whole run, or what `--resume` adds to the run's own.
  void start(const std::vector<std::string>& options, const std::string& command = "train") {
    std::vector<std::string> words{std::string(ITO_PROGRAM_FOLDER) + "/ito-cpu", command};
    words.insert(words.end(), options.begin(), options.end());
    if (command == "train") words.insert(words.end(), {"--out", "run"});
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const std::string place = folder_.path();
    child_ = fork();
    if (child_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_DFL);  // a test started in the background has it ignored
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, hangup_);
    setenv("OMP_WAIT_POLICY", "passive", 1);
    if (chdir(place.c_str()) != 0) _exit(126);
    dup2(open("stdout", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    dup2(open("stderr", O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  // The exit code, or 1000 + the signal that ended it: a shell's 128 + signal is what our own exit codes look like.
  int wait() {
    int status = 0;
    waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  void ignore_hangup() { hangup_ = SIG_IGN; }  // in the children to come, as under nohup
  void send(int signal_number) const { ::kill(child_, signal_number); }
  int kill_and_wait(int signal_number) {
    send(signal_number);
    return wait();
  }
  int run(const std::vector<std::string>& options, const std::string& command = "train") {
    start(options, command);
    return wait();
  }
  // Polls until the condition holds; false if the child ended first.
  bool wait_until(const std::function<bool()>& condition) const {
    while (!condition()) {
      siginfo_t info{};
      if (waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0)
        return false;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return true;
  }

 private:
  TempFolder folder_;
  pid_t child_ = -1;
  sighandler_t hangup_ = SIG_DFL;
};

inline std::vector<std::string> training_options(int steps, const std::vector<std::string>& more = {}) {
  std::vector<std::string> options{"--data",   "data.safetensors",
                                   "--model",  "model.json",
                                   "--steps",  std::to_string(steps),
                                   "--batch",  "8",
                                   "--lr",     "1e-3",
                                   "--warmup", "2",
                                   "--flip",   "--prediction-type",
                                   "sample",   "--seed",
                                   "7",        "--log-every",
                                   "3",        "--threads",
                                   "1"};
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

// Every file below two folders, bytes and all; `apart`: paths that may differ.
inline void expect_equal_folders(const std::string& expected, const std::string& got,
                                 const std::set<std::string>& apart = {}) {
  ASSERT_EQ(files_below(expected), files_below(got));
  for (const std::string& file : files_below(expected)) {
    if (apart.count(file)) continue;
    EXPECT_TRUE(read_bytes(expected + "/" + file) == read_bytes(got + "/" + file)) << file << " differs";
  }
}

}  // namespace ito
