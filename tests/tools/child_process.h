// SPDX-License-Identifier: Apache-2.0
// Runs a program as a child and catches its exit code and both outputs.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/engine/io/temp_folder.h"

namespace ito {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kFewRuns = true;  // each takes twenty times as long
#else
inline constexpr bool kFewRuns = false;
#endif

struct ChildResult {
  int exit_code = -1;  // 128 + the signal if one ended it
  std::string out, err;
  size_t error_lines() const { return static_cast<size_t>(std::count(err.begin(), err.end(), '\n')); }
};

// command[0] is the program's path. Idle OpenMP threads sleep, so that tests running beside each other do not spin.
inline ChildResult run_child(const std::vector<std::string>& command) {
  const TempFolder outputs;
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const std::string out = outputs / "out", err = outputs / "err";
  const pid_t child = fork();
  if (child == 0) {
    setenv("OMP_WAIT_POLICY", "passive", 1);
    const int out_file = open(out.c_str(), O_WRONLY | O_CREAT, 0600),
              err_file = open(err.c_str(), O_WRONLY | O_CREAT, 0600);
    dup2(out_file, STDOUT_FILENO);
    dup2(err_file, STDERR_FILENO);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  ChildResult result;
  int status = 0;
  if (child > 0 && waitpid(child, &status, 0) == child)
    result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.out = read_bytes(out);
  result.err = read_bytes(err);
  return result;
}

}  // namespace ito
