// SPDX-License-Identifier: Apache-2.0
// The cpu device: OpenMP workers, each with contiguous shares of a launch.
#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>

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
  std::exception_ptr error;
#pragma omp parallel num_threads(static_cast <int>(most))
  {
    const int64_t workers = omp_get_num_threads(), worker = omp_get_thread_num();
    try {
      body(n * worker / workers, n * (worker + 1) / workers);
    } catch (...) {
#pragma omp critical(ito_parallel_chunks_error)
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
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
