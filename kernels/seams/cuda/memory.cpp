// SPDX-License-Identifier: Apache-2.0
// Memory of a GPU and page-locked memory of the host. The engine allocates once, before the first capture, and graphs
// keep addresses; plain allocations serve that, and the stream-ordered allocator would add nothing.
#include <algorithm>
#include <cstring>

#include "kernels/seams/common/ledger.h"
#include "kernels/seams/common/memory_override.h"
#include "kernels/seams/cuda/stream.h"
#include "kernels/seams/memory_limit.h"

namespace ito {
namespace {

// Left out of the plan for kernels' code, graphs and the libraries' handles: a guess, not yet seen on a card. What they
// take there `ito bench` tells (device_bytes_beside_allocations).
constexpr size_t kForCode = size_t{768} << 20;

size_t free_bytes() {
  size_t free = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "free memory");
  return free;
}

// Free and allocated bytes when that was first asked.
size_t bytes_at_first() {
  static const size_t bytes = free_bytes() + device_bytes_in_use();
  return bytes;
}

// The next staging memory, free and large enough.
Staging& free_staging(Stream::Impl& stream, size_t bytes) {
  Staging& staging = stream.staging[stream.next_staging];
  stream.next_staging ^= 1;
  if (staging.copied) {
    check_cuda(cudaEventSynchronize(staging.copied), "copy_to_device");
  } else {
    check_cuda(cudaEventCreateWithFlags(&staging.copied, cudaEventDisableTiming), "copy_to_device");
    name_for_profiler(staging.copied, "staging copied");
  }
  if (staging.bytes < bytes) {
    host_free(staging.memory);
    staging.memory = nullptr;
    staging.bytes = 0;
    staging.memory = host_allocate(bytes, "staging of copies to the device");
    staging.bytes = bytes;
  }
  return staging;
}

}  // namespace

void* device_allocate(size_t bytes, const char* what) {
  require_device();
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, std::max<size_t>(bytes, 1));
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    fail("device_allocate: no memory on ", device_name(), " for ", what, ": ", bytes, " bytes wanted, ",
         device_bytes_in_use(), " bytes in use; use a smaller batch or micro-batch, or end what else uses the card");
  }
  check_cuda(status, what);
  ledger_add(memory, bytes);
  return memory;
}

void device_free(void* memory) noexcept {
  if (!memory) return;
  ledger_remove(memory);
  (void)cudaFree(memory);  // waits for the work that uses it; its errors are for who waits for the work
}

void* host_allocate(size_t bytes, const char* what) {
  require_device();
  void* memory = nullptr;
  const cudaError_t status = cudaHostAlloc(&memory, std::max<size_t>(bytes, 1), cudaHostAllocDefault);
  if (status == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    fail("host_allocate: no page-locked memory for ", what, ": ", bytes, " bytes wanted; free some of the host's");
  }
  check_cuda(status, what);
  return memory;
}

void host_free(void* memory) noexcept {
  if (memory) (void)cudaFreeHost(memory);
}

void copy_to_device(Stream& stream, void* device, const void* host, size_t bytes) {
  ITO_CHECK(!stream.capturing(), "copy_to_device: a copy of ", bytes,
            " bytes from the host cannot be captured; copy before begin_capture");
  constexpr size_t kPiece = size_t{16} << 20;  // page-locked memory is dear: an arena goes through it in pieces
  for (size_t done = 0; done < bytes; done += kPiece) {
    const size_t piece = std::min(kPiece, bytes - done);
    Staging& staging = free_staging(stream.impl(), piece);
    std::memcpy(staging.memory, static_cast<const char*>(host) + done, piece);
    check_cuda(cudaMemcpyAsync(static_cast<char*>(device) + done, staging.memory, piece, cudaMemcpyHostToDevice,
                               stream.impl().handle),
               "copy_to_device");
    check_cuda(cudaEventRecord(staging.copied, stream.impl().handle), "copy_to_device");
  }
}

void enqueue_copy_to_device(Stream& stream, void* device, const void* host, size_t bytes) {
  ITO_CHECK(!stream.capturing(), "enqueue_copy_to_device: a copy of ", bytes,
            " bytes from the host cannot be captured");
  if (bytes)
    check_cuda(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream.impl().handle),
               "enqueue_copy_to_device");
}

void copy_to_host(Stream& stream, void* host, const void* device, size_t bytes) {
  ITO_CHECK(!stream.capturing(), "copy_to_host: a copy of ", bytes,
            " bytes to the host cannot be captured; copy after end_capture");
  if (!bytes) return;
  check_cuda(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream.impl().handle), "copy_to_host");
  check_cuda(cudaStreamSynchronize(stream.impl().handle), "copy_to_host");
}

void enqueue_copy_to_host(Stream& stream, void* host, const void* device, size_t bytes) {
  ITO_CHECK(!stream.capturing(), "enqueue_copy_to_host: a copy of ", bytes, " bytes to the host cannot be captured");
  if (bytes)
    check_cuda(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream.impl().handle),
               "enqueue_copy_to_host");
}

void copy_on_device(Stream& stream, void* to, const void* from, size_t bytes) {
  if (!bytes) return;
  const Range range("copy_on_device");
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream.impl().handle), "copy_on_device");
  check_launch(stream, "copy_on_device");
}

void fill_bytes(Stream& stream, void* device, int byte, size_t bytes) {
  if (!bytes) return;
  const Range range("fill_bytes");
  check_cuda(cudaMemsetAsync(device, byte, bytes, stream.impl().handle), "fill_bytes");
  check_launch(stream, "fill_bytes");
}

void poison(Stream&, void*, size_t) {}

size_t device_memory_limit() {
  require_device();
  (void)bytes_at_first();
  if (const auto given = memory_limit_from_environment()) return *given;
  const size_t free = free_bytes();
  return free - std::min(free, kForCode);
}

size_t device_bytes_beside_allocations() {
  const size_t now = free_bytes() + device_bytes_in_use();
  return bytes_at_first() - std::min(bytes_at_first(), now);
}

bool device_memory_is_the_hosts() {
  return false;
}

}  // namespace ito
