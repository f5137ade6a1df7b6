// SPDX-License-Identifier: Apache-2.0
// The end of a start that another rank never comes to: while MPI and the device's library make their connections, no
// verb can tell who is missing.
#pragma once
#include <condition_variable>
#include <mutex>
#include <thread>

#include "kernels/seams/common/ranks.h"

namespace ito {

// Seconds that ranks wait for each other at their start: ITO_START_LIMIT, or 600.
double start_limit();

// Ends the process, with a line, if it lives longer than that.
class StartWatch {
 public:
  explicit StartWatch(const Launcher& launcher);
  ~StartWatch();
  StartWatch(const StartWatch&) = delete;
  StartWatch& operator=(const StartWatch&) = delete;

 private:
  void watch(const Launcher& launcher);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false;
  std::thread thread_;
};

}  // namespace ito
