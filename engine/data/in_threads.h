// SPDX-License-Identifier: Apache-2.0
// Independent pieces of work on the host, shared out to threads.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace ito {

// Calls work(i) for first to count-1, each once, from several threads. Of the calls that throw, the exception of the
// lowest i is thrown on: the numbers are handed out in order, so every lower one has been worked off.
template <class Work>
void for_each_in_threads(int64_t first, int64_t count, int threads, const Work& work) {
  std::atomic<int64_t> next{first}, failed{count};
  std::mutex mutex;
  std::exception_ptr error;
  const auto run = [&] {
    for (int64_t i; (i = next++) < failed;) try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (i < failed) {
          failed = i;
          error = std::current_exception();
        }
      }
  };
  std::vector<std::thread> others;
  for (int64_t t = 1; t < std::min<int64_t>(threads, count - first); ++t) others.emplace_back(run);
  run();
  for (std::thread& other : others) other.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace ito
