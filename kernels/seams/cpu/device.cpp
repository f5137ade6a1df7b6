// SPDX-License-Identifier: Apache-2.0
// The cpu device: OpenMP workers, which share out a launch (shares.h).
#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>

#include "kernels/seams/cpu/shares.h"
#include "kernels/seams/device.h"
#include "kernels/seams/host/memory.h"
#include "kernels/seams/host/threads.h"

namespace ito {
namespace {

struct Free {
  void operator()(void* memory) const { free(memory); }
};

}  // namespace

namespace dialect {

void parallel_chunks(int64_t n, int64_t least, const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  const int64_t most = std::min<int64_t>(device_threads(), ceil_div(n, std::max<int64_t>(least, 1)));
  if (most <= 1 || omp_in_parallel()) {
    body(0, n);
    return;
  }
  // Enough pieces to even out, none so small that taking it costs more than a thousandth of it.
  constexpr int64_t kPieces = 8;
  const int64_t pieces = std::clamp<int64_t>(n / std::max<int64_t>(least, 1), most, kPieces * most);
  cpu::for_pieces(pieces, static_cast<int>(most), [&](int64_t i, int) { body(n * i / pieces, n * (i + 1) / pieces); });
}

void* worker_scratch(size_t bytes) {
  thread_local std::unique_ptr<void, Free> scratch;
  thread_local size_t capacity = 0;
  if (bytes > capacity) {
    scratch.reset();
    capacity = 0;
    void* memory = nullptr;
    ITO_CHECK(posix_memalign(&memory, 64, bytes) == 0, "worker scratch: no memory for ", bytes, " bytes");
    scratch.reset(memory);
    capacity = bytes;
  }
  return scratch.get();
}

}  // namespace dialect

bool poison_is_nan() {
  return false;
}

bool guards_memory() {
  return false;
}

const char* device_name() {
  return "cpu";
}

bool device_has_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

int images_per_chunk() {
  return 4;
}

// omp_get_num_procs honours the process's affinity mask.
int usable_cores() {
  return std::max(omp_get_num_procs(), 1);
}

}  // namespace ito
