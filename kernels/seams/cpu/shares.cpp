// SPDX-License-Identifier: Apache-2.0
// See shares.h.
#include "kernels/seams/cpu/shares.h"

#include <omp.h>

#include <atomic>
#include <exception>
#include <vector>

namespace ito::cpu {

void for_pieces(int64_t pieces, int threads, const std::function<void(int64_t, int)>& f) {
  struct alignas(64) Share {  // a cache line each
    std::atomic<int64_t> next;
    int64_t end;
  };
  std::vector<Share> shares(static_cast<size_t>(threads));
  for (int64_t i = 0; i < threads; ++i) {
    shares[static_cast<size_t>(i)].next.store(pieces * i / threads, std::memory_order_relaxed);
    shares[static_cast<size_t>(i)].end = pieces * (i + 1) / threads;
  }
  std::exception_ptr error;
#pragma omp parallel num_threads(threads)
  {
    const int worker = omp_get_thread_num();
    try {
      for (int other = 0; other < threads; ++other) {
        Share& share = shares[static_cast<size_t>((worker + other) % threads)];
        for (int64_t piece; (piece = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) f(piece, worker);
      }
    } catch (...) {
#pragma omp critical(ito_for_pieces_error)
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace ito::cpu
