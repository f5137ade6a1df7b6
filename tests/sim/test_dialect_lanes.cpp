// SPDX-License-Identifier: Apache-2.0
// Words that need 32 lanes, emulated: shuffles, the order of sums, matrix fragments, asynchronous copies; and that the
// schedules are the orders they say.
#include "dialect.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace ito {
namespace {

struct Lanes : testing::Test {
  void TearDown() override { sim_set_schedule(SimSchedule::Forward); }
  Stream stream;
};

KERNEL void shuffles(int* by_xor, int* down, double* wide) {
  const int lane = static_cast<int>(threadIdx.x);
  by_xor[lane] = shfl_xor(lane, 5);
  down[lane] = shfl_down(lane, 3);
  wide[lane] = shfl_xor(0.25 + lane, 1);
}

TEST_F(Lanes, ShufflesStayInTheirWarp) {
  std::vector<int> by_xor(64), down(64);
  std::vector<double> wide(64);
  launch<shuffles>("shuffles", 1, 64, 0, stream, by_xor.data(), down.data(), wide.data());
  for (int i = 0; i < 64; ++i) {
    EXPECT_EQ(by_xor[i], i ^ 5);
    EXPECT_EQ(down[i], i % 32 + 3 < 32 ? i + 3 : i);  // past the end a lane keeps its own value
    EXPECT_EQ(wide[i], 0.25 + (i ^ 1));
  }
}

KERNEL void sums(const float* x, float* warp, float* block, float* by_steps) {
  float v = x[threadIdx.x];
  warp[threadIdx.x] = warp_sum(v);
  block[threadIdx.x] = block_sum(v);
  for (int half = 16; half; half /= 2) v += shfl_xor(v, half);
  by_steps[threadIdx.x] = v;
}

// The GPU's order: distances 16, 8, 4, 2, 1; then the warps' results, absent warps being zero, the same way.
float butterfly(std::vector<float> v) {
  for (int half = 16; half; half /= 2)
    for (int l = 0; l < half; ++l) v[l] += v[l + half];
  return v[0];
}

TEST_F(Lanes, SumsAreInTheOrderOfTheButterfly) {
  constexpr int n = 96;
  std::vector<float> x(n), warp(n), block(n), by_steps(n);
  for (int i = 0; i < n; ++i) x[i] = 1.0f / static_cast<float>(i * i + 3);
  std::vector<float> of_warp(32, 0.0f);
  for (int w = 0; w < 3; ++w) of_warp[w] = butterfly({x.begin() + 32 * w, x.begin() + 32 * (w + 1)});
  const float whole = butterfly(of_warp);
  for (const uint64_t seed : {1, 2, 3}) {
    sim_set_schedule(SimSchedule::Seeded, seed);
    launch<sums>("sums", 1, n, 0, stream, static_cast<const float*>(x.data()), warp.data(), block.data(),
                 by_steps.data());
    for (int i = 0; i < n; ++i) {
      ASSERT_EQ(warp[i], of_warp[i / 32]);
      ASSERT_EQ(by_steps[i], of_warp[i / 32]);
      ASSERT_EQ(block[i], whole);
    }
  }
}

// One warp multiplies (16 MT x 16) by (16 x 16): both operands from shared memory, plain or transposed.
template <int MT, bool ATrans, bool BTrans>
KERNEL void product(const bf16* a, const bf16* b, float* c) {
  SHARED(bf16, as, MT * 256);
  SHARED(bf16, bs, 256);
  BLOCK_LOOP(i, MT * 32) cp_async16(as + 8 * i, a + 8 * i);
  BLOCK_LOOP(i, 32) cp_async16(bs + 8 * i, b + 8 * i);
  cp_async_commit();
  cp_async_wait<0>();
  block_sync();
  const int l = static_cast<int>(threadIdx.x);
  uint32_t fa[MT][4], fb[2][2];
  for (int m = 0; m < MT; ++m) {
    // A as [m][k], or as [k][m] with rows of 16 MT.
    if constexpr (ATrans)
      ldmatrix_x4_trans(fa[m], as + ((l & 7) + 8 * (l >> 4)) * 16 * MT + 16 * m + 8 * ((l >> 3) & 1));
    else
      ldmatrix_x4(fa[m], as + (16 * m + (l & 15)) * 16 + 8 * (l >> 4));
  }
  // B as [n][k], or as [k][n]; registers 0, 1 are the first eight columns, 2, 3 the next.
  if constexpr (BTrans)
    ldmatrix_x4_trans(&fb[0][0], bs + ((l & 7) + 8 * ((l >> 3) & 1)) * 16 + 8 * (l >> 4));
  else
    ldmatrix_x4(&fb[0][0], bs + ((l & 7) + 8 * (l >> 4)) * 16 + 8 * ((l >> 3) & 1));
  float acc[MT][2][4];
  for (int m = 0; m < MT; ++m)
    for (int n = 0; n < 2; ++n)
      for (int r = 0; r < 4; ++r) acc[m][n][r] = 1.0f;
  mma_tile(acc, fa, fb);
  for (int m = 0; m < MT; ++m)
    for (int n = 0; n < 2; ++n)
      for (int r = 0; r < 4; ++r)
        c[(16 * m + (l >> 2) + 8 * (r >> 1)) * 16 + 8 * n + 2 * (l & 3) + (r & 1)] = acc[m][n][r];
}

template <int MT, bool ATrans, bool BTrans>
void check_product(Stream& stream) {
  const auto at = [](int m, int k) { return static_cast<float>((m * 7 + k * 3) % 11 - 5); };  // exact in bf16
  const auto bt = [](int k, int n) { return static_cast<float>((k * 5 + n * 2) % 13 - 6); };
  alignas(16) bf16 a[16 * MT * 16];
  alignas(16) bf16 b[16 * 16];
  for (int m = 0; m < 16 * MT; ++m)
    for (int k = 0; k < 16; ++k) a[ATrans ? k * 16 * MT + m : m * 16 + k] = from_float<bf16>(at(m, k));
  for (int k = 0; k < 16; ++k)
    for (int n = 0; n < 16; ++n) b[BTrans ? k * 16 + n : n * 16 + k] = from_float<bf16>(bt(k, n));
  std::vector<float> c(16 * MT * 16);
  launch<product<MT, ATrans, BTrans>>("product", 1, 32, 0, stream, static_cast<const bf16*>(a),
                                      static_cast<const bf16*>(b), c.data());
  for (int m = 0; m < 16 * MT; ++m)
    for (int n = 0; n < 16; ++n) {
      float want = 1.0f;
      for (int k = 0; k < 16; ++k) want += at(m, k) * bt(k, n);
      ASSERT_EQ(c[m * 16 + n], want) << m << " " << n;
    }
}

TEST_F(Lanes, MatrixProductsFromAllLayouts) {
  check_product<1, false, false>(stream);
  check_product<2, false, true>(stream);
  check_product<1, true, false>(stream);
  check_product<2, true, true>(stream);
}

KERNEL void padded_copy(const float* x, float* y) {
  SHARED(float, tile, 4 * 32);
  cp_async16(tile + 4 * threadIdx.x, threadIdx.x % 2 ? x + 4 * threadIdx.x : nullptr, threadIdx.x % 2);
  cp_async_commit();
  cp_async_wait<0>();
  for (int i = 0; i < 4; ++i) y[4 * threadIdx.x + i] = tile[4 * threadIdx.x + i];
}

TEST_F(Lanes, InvalidCopiesWriteZeros) {
  alignas(16) float x[128];
  std::iota(x, x + 128, 1.0f);
  std::vector<float> y(128);
  launch<padded_copy>("padded", 1, 32, 0, stream, static_cast<const float*>(x), y.data());
  for (int i = 0; i < 128; ++i) EXPECT_EQ(y[i], i / 4 % 2 ? x[i] : 0.0f);
}

KERNEL void arrival(int* clock, int* before, int* after) {
  before[threadIdx.x] = atomic_add(clock, 1);
  block_sync();
  after[threadIdx.x] = atomic_add(clock, 1);
}

TEST_F(Lanes, SchedulesAreOrdersOfTheThreads) {
  constexpr int n = 96;
  const auto order = [&](SimSchedule kind, uint64_t seed) {
    sim_set_schedule(kind, seed);
    int clock = 0;
    std::vector<int> both(2 * n);
    launch<arrival>("arrival", 1, n, 0, stream, &clock, both.data(), both.data() + n);
    std::vector<int> sorted = both;
    std::sort(sorted.begin(), sorted.end());
    for (int i = 0; i < 2 * n; ++i) EXPECT_EQ(sorted[i], i);
    for (int i = 0; i < n; ++i) EXPECT_LT(both[i], n) << "the barrier let a thread pass";
    return both;
  };
  const std::vector<int> forward = order(SimSchedule::Forward, 0), reverse = order(SimSchedule::Reverse, 0);
  for (int i = 0; i < n; ++i) {
    EXPECT_EQ(forward[i], i);
    EXPECT_EQ(forward[n + i], n + i);
    EXPECT_EQ(reverse[i], n - 1 - i);
    EXPECT_EQ(reverse[n + i], 2 * n - 1 - i);
  }
  EXPECT_EQ(order(SimSchedule::Seeded, 5), order(SimSchedule::Seeded, 5));
  EXPECT_NE(order(SimSchedule::Seeded, 5), order(SimSchedule::Seeded, 6));
}

KERNEL void too_much_shared(float* y) {
  SHARED(float, a, 8 * 1024);
  SHARED(float, b, 5 * 1024);
  a[0] = b[0] = 1.0f;
  y[0] = a[0];
}

TEST_F(Lanes, LaunchesAGpuWouldRefuse) {
  float y = 0.0f;
  int i = 0;
  EXPECT_THROW(launch<too_much_shared>("shared", 1, 1, 0, stream, &y), Error);          // 52 KB static
  EXPECT_THROW((launch<arrival>("threads", 1, 2048, 0, stream, &i, &i, &i)), Error);    // a block of 2048
  EXPECT_THROW((launch<arrival>("bytes", 1, 32, 1 << 20, stream, &i, &i, &i)), Error);  // 1 MB dynamic
  EXPECT_THROW((launch<arrival>("grid", Dim3(1, 70000), 32, 0, stream, &i, &i, &i)), Error);
}

}  // namespace
}  // namespace ito
