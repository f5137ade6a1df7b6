// SPDX-License-Identifier: Apache-2.0
// See ledger.h.
#include "kernels/seams/common/ledger.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <unordered_map>

#include "kernels/seams/device.h"

namespace ito {
namespace {

struct Ledger {
  std::mutex mutex;
  std::unordered_map<void*, size_t> live;
  size_t in_use = 0, peak = 0;
};

// Never destroyed: objects with static lifetime may still free device memory at exit.
Ledger& ledger() {
  static Ledger* ledger = new Ledger;
  return *ledger;
}

}  // namespace

void ledger_add(void* memory, size_t bytes) {
  Ledger& book = ledger();
  const std::lock_guard lock(book.mutex);
  book.live.emplace(memory, bytes);
  book.in_use += bytes;
  book.peak = std::max(book.peak, book.in_use);
}

size_t ledger_remove(void* memory) noexcept {
  Ledger& book = ledger();
  const std::lock_guard lock(book.mutex);
  const auto found = book.live.find(memory);
  if (found == book.live.end()) {
    fprintf(stderr, "device_free: %p was not given by device_allocate, or is already free\n", memory);
    abort();
  }
  const size_t bytes = found->second;
  book.in_use -= bytes;
  book.live.erase(found);
  return bytes;
}

size_t device_bytes_in_use() {
  const std::lock_guard lock(ledger().mutex);
  return ledger().in_use;
}

size_t device_peak_bytes() {
  const std::lock_guard lock(ledger().mutex);
  return ledger().peak;
}

void device_reset_peak() {
  const std::lock_guard lock(ledger().mutex);
  ledger().peak = ledger().in_use;
}

}  // namespace ito
