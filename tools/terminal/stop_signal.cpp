// SPDX-License-Identifier: Apache-2.0
// The handler touches one lock-free atomic and calls _exit: both are safe wherever the signal finds the process.
#include "tools/terminal/stop_signal.h"

#include <unistd.h>

#include <atomic>

namespace ito {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM};
std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int number) {
  int none = 0;
  if (!first_signal.compare_exchange_strong(none, number)) _exit(128 + none);
}

}  // namespace

StopSignal::StopSignal() {
  first_signal = 0;
  for (int i = 0; i < 2; ++i) {
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(kSignals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);
  }
}

StopSignal::~StopSignal() {
  for (int i = 0; i < 2; ++i) sigaction(kSignals[i], &before_[i], nullptr);
}

int StopSignal::received() {
  return first_signal;
}

const char* StopSignal::name() {
  return received() == SIGINT ? "SIGINT" : "SIGTERM";
}

}  // namespace ito
