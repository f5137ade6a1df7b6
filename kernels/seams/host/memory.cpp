// SPDX-License-Identifier: Apache-2.0
// Device memory where the device is the host: every allocation is its own heap block, so that AddressSanitizer
// keeps redzones around it, or closed pages (guarded_memory.h).
#include "kernels/seams/host/memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/seams/common/ledger.h"
#include "kernels/seams/host/guarded_memory.h"
#include "kernels/seams/host/stream.h"

namespace ito {
namespace {

constexpr size_t kAlignment = 256;
constexpr int kNanByte = 0xFF;

}  // namespace

void* device_allocate(size_t bytes, const char* what) {
  void* memory = nullptr;
  if (guards_memory())
    memory = guarded_allocate(bytes);
  else if (posix_memalign(&memory, kAlignment, std::max<size_t>(bytes, 1)) != 0)
    memory = nullptr;
  if (!memory)
    fail("device_allocate: no memory for ", what, ": ", bytes, " bytes wanted, ", device_bytes_in_use(),
         " bytes in use; make the batch or the model smaller");
  if (poison_is_nan()) {
    const GuardedAccess access;
    memset(memory, kNanByte, bytes);
  }
  ledger_add(memory, bytes);
  return memory;
}

void device_free(void* memory) noexcept {
  if (!memory) return;
  const size_t bytes = ledger_remove(memory);
  if (guards_memory())
    guarded_free(memory, bytes);
  else
    free(memory);
}

void* host_allocate(size_t bytes, const char* what) {
  void* memory = nullptr;
  if (posix_memalign(&memory, kAlignment, std::max<size_t>(bytes, 1)) != 0)
    fail("host_allocate: no memory for ", what, ": ", bytes, " bytes wanted");
  return memory;
}

void host_free(void* memory) noexcept {
  free(memory);
}

void copy_to_device(Stream& stream, void* device, const void* host, size_t bytes) {
  ITO_CHECK(!stream.capturing(), "copy_to_device: a copy of ", bytes,
            " bytes from the host cannot be captured; copy before begin_capture");
  if (bytes) submit(stream, "copy_to_device", [=] { memcpy(device, host, bytes); });
}

void enqueue_copy_to_device(Stream& stream, void* device, const void* host, size_t bytes) {
  copy_to_device(stream, device, host, bytes);
}

void copy_to_host(Stream& stream, void* host, const void* device, size_t bytes) {
  ITO_CHECK(!stream.capturing(), "copy_to_host: a copy of ", bytes,
            " bytes to the host cannot be captured; copy after end_capture");
  if (bytes) submit(stream, "copy_to_host", [=] { memcpy(host, device, bytes); });
}

void enqueue_copy_to_host(Stream& stream, void* host, const void* device, size_t bytes) {
  copy_to_host(stream, host, device, bytes);
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
