// SPDX-License-Identifier: Apache-2.0
// The executor's own thread pool. (libgomp hides its synchronisation from ThreadSanitizer.)
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "kernels/dialect/sim/worker.h"
#include "kernels/seams/device.h"

namespace ito::dialect {
namespace {

using Body = std::function<void(Worker&, int, std::atomic<bool>&)>;

class Pool {
 public:
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : threads_) t.join();
  }

  void run(int workers, const Body& body) {
    const std::lock_guard one_launch(launch_mutex_);
    while (workers_.size() < static_cast<size_t>(workers)) workers_.push_back(std::make_unique<Worker>());
    while (threads_.size() + 1 < static_cast<size_t>(workers))
      threads_.emplace_back(
          [this, number = static_cast<int>(threads_.size()) + 1, seen = generation_] { serve(number, seen); });
    failed_.store(false);
    started_.store(0);
    error_ = nullptr;
    {
      const std::lock_guard lock(mutex_);
      wanted_ = workers;
      if (workers > 1) {
        body_ = &body;
        running_ = workers - 1;
        ++generation_;
      }
    }
    if (workers > 1) wake_.notify_all();
    work(0, body);
    if (workers > 1) {
      std::unique_lock lock(mutex_);
      done_.wait(lock, [&] { return running_ == 0; });
      body_ = nullptr;
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  // Under ThreadSanitizer nobody works before all have started: a worker that wakes late would come after the others'
  // work through the mutex, and a race with them would not be one.
  void start_together() {
    if (!under_tsan()) return;
    ++started_;
    while (started_.load() < wanted_) std::this_thread::yield();
  }

  void work(int number, const Body& body) {
    start_together();
    try {
      body(*workers_[static_cast<size_t>(number)], number, failed_);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
  }

  void serve(int number, uint64_t seen) {
    for (;;) {
      const Body* body = nullptr;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return closing_ || generation_ != seen; });
        if (closing_) return;
        seen = generation_;
        if (number < wanted_) body = body_;
      }
      if (!body) continue;
      work(number, *body);
      const std::lock_guard lock(mutex_);
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex launch_mutex_;  // one launch at a time
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::thread> threads_;
  const Body* body_ = nullptr;
  std::atomic<int> started_{0};
  int wanted_ = 0, running_ = 0;
  uint64_t generation_ = 0;
  bool closing_ = false;
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
};

}  // namespace

void run_workers(int workers, const Body& body) {
  static Pool pool;
  pool.run(std::max(workers, 1), body);
}

// Two at least under ThreadSanitizer, so that neighbouring blocks run on different workers.
int sim_workers() {
  return std::max(device_threads(), under_tsan() ? 2 : 1);
}

}  // namespace ito::dialect
