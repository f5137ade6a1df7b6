// SPDX-License-Identifier: Apache-2.0
// Asking a long command to stop: the first SIGINT, SIGTERM, SIGHUP or SIGUSR1 (which mpirun hands on to its ranks,
// where SIGTERM gives them a second) is remembered, so that the step in hand is finished and saved; asking once more,
// by SIGINT or SIGTERM, ends the process at once. Either way the exit code is 128
// + the first signal's number.
#pragma once
#include <csignal>
#include <cstddef>

namespace ito {

class StopSignal {
 public:
  StopSignal();   // a signal that was ignored (nohup, a job in the background) stays ignored
  ~StopSignal();  // puts back what was there
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  static int received();  // SIGINT, SIGTERM, SIGHUP, SIGUSR1, or 0
  static const char* name(int number = received());

 private:
  static constexpr size_t kSignals = 4;
  struct sigaction before_[kSignals];
};

}  // namespace ito
