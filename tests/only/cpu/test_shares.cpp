// SPDX-License-Identifier: Apache-2.0
// Workers that share out pieces: each piece once, the idle take what a slow one has left, errors come through.
#include "kernels/seams/cpu/shares.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

namespace ito::test {
namespace {

TEST(Shares, EveryPieceOnce) {
  for (const int threads : {1, 2, 3, 7})
    for (const int64_t pieces : {0, 1, 2, 5, 64, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(pieces));
      std::atomic<int> strangers = 0;
      cpu::for_pieces(pieces, threads, [&](int64_t piece, int worker) {
        ++seen[static_cast<size_t>(piece)];
        strangers += worker < 0 || worker >= threads;
      });
      for (const auto& count : seen) ASSERT_EQ(count, 1) << pieces << " pieces, " << threads << " threads";
      EXPECT_EQ(strangers, 0);
    }
}

// The first piece is not done before all others are.
TEST(Shares, NobodyWaitsForASlowOne) {
  constexpr int64_t kPieces = 16;
  std::atomic<int64_t> others = 0;
  bool late = false;
  cpu::for_pieces(kPieces, 2, [&](int64_t piece, int) {
    if (piece != 0) {
      ++others;
      return;
    }
    const auto begin = std::chrono::steady_clock::now();
    while (others < kPieces - 1 && !late) {
      std::this_thread::yield();
      late = std::chrono::steady_clock::now() - begin > std::chrono::seconds(20);
    }
  });
  EXPECT_EQ(others, kPieces - 1);
  EXPECT_FALSE(late);
}

TEST(Shares, AnErrorComesThrough) {
  EXPECT_THROW(cpu::for_pieces(8, 2,
                               [](int64_t piece, int) {
                                 if (piece == 5) throw std::runtime_error("piece 5");
                               }),
               std::runtime_error);
}

}  // namespace
}  // namespace ito::test
