// SPDX-License-Identifier: Apache-2.0
// See stop_signal.h. The handler touches lock-free atomics, reads a clock and calls _exit: all safe wherever the signal
// finds the process.
#include "tools/terminal/stop_signal.h"

#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace ito {
namespace {

constexpr int kNumbers[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
constexpr int64_t kOneRequest = 200'000'000;  // ns

std::atomic<int> first_signal{0}, last_asked{0};
std::atomic<int64_t> last_asked_at{0};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free);

int64_t now() {
  struct timespec time {};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec;
}

// Who closes a terminal or shuts down a service means one thing and sends several signals: the shell and the kernel a
// SIGHUP each, systemd SIGHUP after SIGTERM, timeout(1) its SIGTERM twice. So SIGHUP never asks once more, nor does
// SIGUSR1, nor the same signal again in the same moment.
void on_signal(int number) {
  int none = 0;
  first_signal.compare_exchange_strong(none, number);
  if (number == SIGHUP || number == SIGUSR1) return;
  const int64_t at = now();
  const int before = last_asked.exchange(number);
  const int64_t before_at = last_asked_at.exchange(at);
  if (before != 0 && (before != number || at - before_at >= kOneRequest)) _exit(128 + first_signal);
}

}  // namespace

StopSignal::StopSignal() {
  static_assert(sizeof(kNumbers) / sizeof(*kNumbers) == kSignals);
  first_signal = 0;
  last_asked = 0;
  for (size_t i = 0; i < kSignals; ++i) {
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(kNumbers[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN) sigaction(kNumbers[i], &action, nullptr);
  }
}

StopSignal::~StopSignal() {
  for (size_t i = 0; i < kSignals; ++i) sigaction(kNumbers[i], &before_[i], nullptr);
}

int StopSignal::received() {
  return first_signal;
}

const char* StopSignal::name(int number) {
  return number == SIGINT ? "SIGINT" : number == SIGTERM ? "SIGTERM" : number == SIGHUP ? "SIGHUP" : "SIGUSR1";
}

}  // namespace ito
