// SPDX-License-Identifier: Apache-2.0
// How a long command tells how far it is: a line that is rewritten on a terminal and fits its width, one
// now and then in a log.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace ito {

class Progress {
 public:
  // unit: what the rate counts ("images"); per_item of them are done with each of the total items. first: items that
  // were done before (a resumed run), which the rate leaves out.
  Progress(std::string title, int64_t total, double per_item, std::string unit, int64_t first = 0);
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void update(int64_t done, const std::string& note = {});
  // Asks from a thread of its own, now and then, until finish: for work that the host enqueues and then waits for.
  void watch(std::function<int64_t()> done);
  void finish();  // ends the line
  double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;
  std::string title_, unit_;
  int64_t total_, first_;
  double per_item_;
  bool rewrites_;
  Clock::time_point start_, last_shown_;
  std::thread watcher_;
  std::mutex mutex_;
  std::condition_variable finished_;
  bool finishing_ = false;
};

}  // namespace ito
