// SPDX-License-Identifier: Apache-2.0
// Device memory where the device is the host: every allocation is its own heap block, so that AddressSanitizer
// keeps redzones around it.
#include "kernels/seams/host/memory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "kernels/seams/host/stream.h"

namespace ito {
namespace {

constexpr size_t kAlignment = 256;
constexpr int kNanByte = 0xFF;

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

void* device_allocate(size_t bytes, const char* what) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, std::max<size_t>(bytes, 1)) != 0)
    fail("device_allocate: no memory for ", what, ": ", bytes, " bytes wanted, ", device_bytes_in_use(),
         " bytes in use; make the batch or the model smaller");
  if (poison_is_nan()) memset(memory, kNanByte, bytes);
  Ledger& book = ledger();
  const std::lock_guard lock(book.mutex);
  book.live.emplace(memory, bytes);
  book.in_use += bytes;
  book.peak = std::max(book.peak, book.in_use);
  return memory;
}

void device_free(void* memory) noexcept {
  if (!memory) return;
  Ledger& book = ledger();
  {
    const std::lock_guard lock(book.mutex);
    const auto found = book.live.find(memory);
    if (found == book.live.end()) {
      fprintf(stderr, "device_free: %p was not given by device_allocate, or is already free\n", memory);
      abort();
    }
    book.in_use -= found->second;
    book.live.erase(found);
  }
  free(memory);
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

void copy_to_device(Stream& stream, void* device, const void* host, size_t bytes) {
  ITO_CHECK(!stream.capturing(), "copy_to_device: a copy of ", bytes,
            " bytes from the host cannot be captured; copy before begin_capture");
  if (bytes) submit(stream, "copy_to_device", [=] { memcpy(device, host, bytes); });
}

void copy_to_host(Stream& stream, void* host, const void* device, size_t bytes) {
  ITO_CHECK(!stream.capturing(), "copy_to_host: a copy of ", bytes,
            " bytes to the host cannot be captured; copy after end_capture");
  if (bytes) submit(stream, "copy_to_host", [=] { memcpy(host, device, bytes); });
}

void copy_on_device(Stream& stream, void* to, const void* from, size_t bytes) {
  if (bytes) submit(stream, "copy_on_device", [=] { memcpy(to, from, bytes); });
}

void fill_bytes(Stream& stream, void* device, int byte, size_t bytes) {
  if (bytes) submit(stream, "fill_bytes", [=] { memset(device, byte, bytes); });
}

void poison(Stream& stream, void* device, size_t bytes) {
  if (bytes && poison_is_nan()) submit(stream, "poison", [=] { memset(device, kNanByte, bytes); });
}

}  // namespace ito
