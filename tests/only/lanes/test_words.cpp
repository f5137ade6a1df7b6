// SPDX-License-Identifier: Apache-2.0
// The words that need 32 lanes, against what they mean, on random input: shuffles, the order of sums, matrix fragments,
// asynchronous copies. On sim this tests the emulation; on a GPU the instructions behind each word, so that the two
// agree bit for bit.
#include "dialect.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/random/philox.h"
#include "tests/kernels/one_stream.h"

namespace ito {
namespace {

using test::test_stream;
template <class T>
using OnDevice = test::TestArray<T>;

uint32_t random_word(uint32_t seed, uint32_t i) {
  return philox4x32(seed, i, 0, 0, 0x3A7E5u).v[0];
}
float random_float(uint32_t seed, uint32_t i) {
  return static_cast<float>(random_word(seed, i)) * 0x1p-31f - 1.0f;
}

// Random values that bf16 holds, of few bits, so that sixteen products and their sum are exact in fp32.
bf16 bf16_of_small(int v) {
  const float f = static_cast<float>(v);
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return bf16{static_cast<uint16_t>(bits >> 16)};
}
int small(uint32_t seed, uint32_t i) {
  return static_cast<int>(random_word(seed, i) % 255) - 127;
}

// Mantissas in seven binades of [1, 2^126), against the division: all of them on a GPU, where they are not the same.
KERNEL void reciprocals(int* wrong, int64_t count, int stride) {
  GRID_LOOP(i, count) {
    for (int binade = 0; binade < 126; binade += 18) {
      const float d = float_from_bits((127 + binade) << 23 | (static_cast<int32_t>(i) * stride));
      if (bits_from_float(reciprocal(d)) != bits_from_float(1.0f / d)) atomic_add(wrong, 1);
    }
  }
}

TEST(Words, ReciprocalsAreRoundedCorrectly) {
  const int stride = std::strcmp(device_name(), "sim") == 0 ? 4095 : 1;
  OnDevice<int> wrong(1, 0);
  launch<reciprocals>("reciprocals", 256, 256, 0, test_stream(), wrong.get(), (int64_t{1} << 23) / stride, stride);
  EXPECT_EQ(wrong.read()[0], 0);
}

template <int V>
KERNEL void round_trip(bf16* narrow, bf16* single, float* wide, const float* x) {
  const int64_t first = int64_t{threadIdx.x} * V;
  float f[V];
  load_floats(f, x + first);
  store_floats(narrow + first, f);
  for_lanes<V>([&](int v) { single[first + v] = from_float<bf16>(f[v]); });
  float back[V];
  load_floats(back, narrow + first);
  store_floats(wide + first, back);
}

template <int V>
void expect_round_trip() {
  constexpr int n = 32 * V;
  std::vector<float> x(n);
  for (int i = 0; i < n; ++i) {
    const int32_t bits = static_cast<int32_t>(random_word(12, i));
    x[i] = std::bit_cast<float>(i % 4 == 0 ? (bits & ~0xFFFF) | 0x8000 : bits);  // ties among them
  }
  const int32_t special[] = {0x7F800000, 0x7F800001, static_cast<int32_t>(0xFFC00000), 0x7F7FFFFF};
  for (int i = 0; i < 4; ++i) x[3 * i] = std::bit_cast<float>(special[i]);
  OnDevice<float> in(x), wide(n);
  OnDevice<bf16> narrow(n), single(n);
  launch<round_trip<V>>("round_trip", 1, 32, 0, test_stream(), narrow.get(), single.get(), wide.get(),
                        static_cast<const float*>(in.get()));
  const std::vector<bf16> got = narrow.read(), alone = single.read();
  const std::vector<float> back = wide.read();
  for (int i = 0; i < n; ++i) {
    uint32_t u = static_cast<uint32_t>(std::bit_cast<int32_t>(x[i]));
    const uint32_t below = u & 0xFFFFu;
    uint32_t want = (u >> 16) + (below > 0x8000u || (below == 0x8000u && (u >> 16 & 1u)) ? 1u : 0u);
    if (std::isnan(x[i])) want = 0x7FFFu;
    ASSERT_EQ(got[i].bits, want) << i << " of " << V;
    ASSERT_EQ(alone[i].bits, want) << i << " of " << V;
    ASSERT_EQ(static_cast<uint32_t>(std::bit_cast<int32_t>(back[i])), want << 16) << i << " of " << V;
  }
}

TEST(Words, PacksAreWidenedAndRounded) {
  expect_round_trip<8>();
  expect_round_trip<2>();
  expect_round_trip<1>();
}

KERNEL void shuffles(const float* x, const double* wide, float* by_xor, float* down, double* wide_xor) {
  const int lane = static_cast<int>(threadIdx.x);
  by_xor[lane] = shfl_xor(x[lane], 5);
  down[lane] = shfl_down(x[lane], 3);
  wide_xor[lane] = shfl_xor(wide[lane], 17);
}

TEST(Words, ShufflesStayInTheirWarp) {
  constexpr int n = 96;
  std::vector<float> x(n);
  std::vector<double> wide(n);
  for (int i = 0; i < n; ++i) {
    x[i] = random_float(1, i);
    wide[i] = random_float(2, i) / 3.0;
  }
  OnDevice<float> dx(x), by_xor(n), down(n);
  OnDevice<double> dwide(wide), wide_xor(n);
  launch<shuffles>("shuffles", 1, n, 0, test_stream(), static_cast<const float*>(dx.get()),
                   static_cast<const double*>(dwide.get()), by_xor.get(), down.get(), wide_xor.get());
  const std::vector<float> got_xor = by_xor.read(), got_down = down.read();
  const std::vector<double> got_wide = wide_xor.read();
  for (int i = 0; i < n; ++i) {
    EXPECT_EQ(got_xor[i], x[i ^ 5]);
    EXPECT_EQ(got_down[i], i % 32 + 3 < 32 ? x[i + 3] : x[i]);  // past the end a lane keeps its own value
    EXPECT_EQ(got_wide[i], wide[i ^ 17]);
  }
}

KERNEL void sums(const float* x, float* warp, float* block, float* largest) {
  const float v = x[threadIdx.x];
  warp[threadIdx.x] = warp_sum(v);
  block[threadIdx.x] = block_sum(v);
  largest[threadIdx.x] = block_max(v);
}

// The order of the sum: distances 16, 8, 4, 2, 1; then the warps' results, absent warps being zero, the same way.
float butterfly(std::vector<float> v) {
  for (int half = 16; half; half /= 2)
    for (int l = 0; l < half; ++l) v[l] += v[l + half];
  return v[0];
}

TEST(Words, SumsAreInTheOrderOfTheButterfly) {
  for (const int n : {32, 96, 256, 1024}) {
    std::vector<float> x(n), of_warp(32, 0.0f);
    for (int i = 0; i < n; ++i) x[i] = random_float(3, i);
    float most = x[0];
    for (const float v : x) most = v > most ? v : most;
    for (int w = 0; w < n / 32; ++w) of_warp[w] = butterfly({x.begin() + 32 * w, x.begin() + 32 * (w + 1)});
    const float whole = butterfly(of_warp);
    OnDevice<float> dx(x), warp(n), block(n), largest(n);
    launch<sums>("sums", 1, n, 0, test_stream(), static_cast<const float*>(dx.get()), warp.get(), block.get(),
                 largest.get());
    const std::vector<float> got_warp = warp.read(), got_block = block.read(), got_largest = largest.read();
    for (int i = 0; i < n; ++i) {
      ASSERT_EQ(got_warp[i], of_warp[i / 32]);
      ASSERT_EQ(got_block[i], whole);
      ASSERT_EQ(got_largest[i], most);
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

// Values up to 127 in size: a sum of 16 products is a whole number below 2^24, exact in any order.
template <int MT, bool ATrans, bool BTrans>
void check_product() {
  const auto at = [](int m, int k) { return small(4, static_cast<uint32_t>(m * 16 + k)); };
  const auto bt = [](int k, int n) { return small(5, static_cast<uint32_t>(k * 16 + n)); };
  std::vector<bf16> a(16 * MT * 16), b(16 * 16);
  for (int m = 0; m < 16 * MT; ++m)
    for (int k = 0; k < 16; ++k) a[ATrans ? k * 16 * MT + m : m * 16 + k] = bf16_of_small(at(m, k));
  for (int k = 0; k < 16; ++k)
    for (int n = 0; n < 16; ++n) b[BTrans ? k * 16 + n : n * 16 + k] = bf16_of_small(bt(k, n));
  OnDevice<bf16> da(a), db(b);
  OnDevice<float> c(16 * MT * 16);
  launch<product<MT, ATrans, BTrans>>("product", 1, 32, 0, test_stream(), static_cast<const bf16*>(da.get()),
                                      static_cast<const bf16*>(db.get()), c.get());
  const std::vector<float> got = c.read();
  for (int m = 0; m < 16 * MT; ++m)
    for (int n = 0; n < 16; ++n) {
      int want = 1;
      for (int k = 0; k < 16; ++k) want += at(m, k) * bt(k, n);
      ASSERT_EQ(got[m * 16 + n], static_cast<float>(want)) << m << " " << n;
    }
}

TEST(Words, MatrixProductsFromAllLayouts) {
  check_product<1, false, false>();
  check_product<2, false, true>();
  check_product<1, true, false>();
  check_product<2, true, true>();
}

// Which element lands in which lane's register, byte for byte.
KERNEL void fragments(const uint16_t* x, uint32_t* plain, uint32_t* transposed) {
  SHARED(uint16_t, tile, 256);
  BLOCK_LOOP(i, 256) tile[i] = x[i];
  block_sync();
  const int l = static_cast<int>(threadIdx.x);
  uint32_t r[4];
  ldmatrix_x4(r, tile + 8 * l);  // matrix l / 8, row l % 8
  for (int i = 0; i < 4; ++i) plain[4 * l + i] = r[i];
  ldmatrix_x4_trans(r, tile + 8 * l);
  for (int i = 0; i < 4; ++i) transposed[4 * l + i] = r[i];
}

TEST(Words, FragmentsHoldTheirElements) {
  std::vector<uint16_t> x(256);
  for (int i = 0; i < 256; ++i) x[i] = static_cast<uint16_t>(random_word(6, i));
  OnDevice<uint16_t> dx(x);
  OnDevice<uint32_t> plain(128), transposed(128);
  launch<fragments>("fragments", 1, 32, 0, test_stream(), static_cast<const uint16_t*>(dx.get()), plain.get(),
                    transposed.get());
  const std::vector<uint32_t> p = plain.read(), t = transposed.read();
  for (int l = 0; l < 32; ++l)
    for (int matrix = 0; matrix < 4; ++matrix) {
      const int row = l / 4, column = 2 * (l % 4);
      const auto at = [&](int r, int c) { return static_cast<uint32_t>(x[64 * matrix + 8 * r + c]); };
      ASSERT_EQ(p[4 * l + matrix], at(row, column) | at(row, column + 1) << 16);
      ASSERT_EQ(t[4 * l + matrix], at(column, row) | at(column + 1, row) << 16);
    }
}

// Ties go to the even neighbour, overflow to infinity; the first of a pair is in the low half.
KERNEL void pairs(const float* x, uint32_t* y) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = bf16_pair(x[2 * i], x[2 * i + 1]);
}

TEST(Words, PairsAreRoundedToNearestEven) {
  std::vector<float> x(64);
  for (int i = 0; i < 64; ++i) x[i] = 10.0f * random_float(10, i);
  const float special[] = {1.00390625f, 1.01171875f, -1.00390625f, 3.4e38f, 0.0f, -0.0f, 1e-40f, INFINITY};
  std::copy(std::begin(special), std::end(special), x.begin());
  OnDevice<float> dx(x);
  OnDevice<uint32_t> y(32);
  launch<pairs>("pairs", 1, 32, 0, test_stream(), static_cast<const float*>(dx.get()), y.get());
  const std::vector<uint32_t> got = y.read();
  for (int i = 0; i < 64; ++i) {
    uint32_t bits;
    std::memcpy(&bits, &x[i], 4);
    const uint32_t rest = bits & 0xFFFF, up = rest > 0x8000 || (rest == 0x8000 && (bits >> 16 & 1));
    ASSERT_EQ(got[i / 2] >> 16 * (i % 2) & 0xFFFF, (bits >> 16) + up) << x[i];
  }
}

KERNEL void padded_copy(const float* x, float* y) {
  SHARED(float, tile, 4 * 32);
  cp_async16(tile + 4 * threadIdx.x, threadIdx.x % 2 ? x + 4 * threadIdx.x : x, threadIdx.x % 2 != 0);
  cp_async_commit();
  cp_async_wait<0>();
  for (int i = 0; i < 4; ++i) y[4 * threadIdx.x + i] = tile[4 * threadIdx.x + i];
}

TEST(Words, InvalidCopiesWriteZeros) {
  std::vector<float> x(128);
  for (int i = 0; i < 128; ++i) x[i] = random_float(7, i);
  OnDevice<float> dx(x), y(128);
  launch<padded_copy>("padded", 1, 32, 0, test_stream(), static_cast<const float*>(dx.get()), y.get());
  const std::vector<float> got = y.read();
  for (int i = 0; i < 128; ++i) EXPECT_EQ(got[i], i / 4 % 2 ? x[i] : 0.0f);
}

// Two stages in flight: the wait for all but the newest makes the older one whole.
KERNEL void two_stages(const float* x, float* y) {
  SHARED(float, tile, 2 * 128);
  cp_async16(tile + 4 * threadIdx.x, x + 4 * threadIdx.x);
  cp_async_commit();
  cp_async16(tile + 128 + 4 * threadIdx.x, x + 128 + 4 * threadIdx.x);
  cp_async_commit();
  cp_async_wait<1>();
  block_sync();
  const int other = 31 - static_cast<int>(threadIdx.x);
  for (int i = 0; i < 4; ++i) y[4 * threadIdx.x + i] = tile[4 * other + i];
  cp_async_wait<0>();
  block_sync();
  for (int i = 0; i < 4; ++i) y[128 + 4 * threadIdx.x + i] = tile[128 + 4 * other + i];
}

TEST(Words, StagesArriveInTheirOrder) {
  std::vector<float> x(256);
  for (int i = 0; i < 256; ++i) x[i] = random_float(8, i);
  OnDevice<float> dx(x), y(256);
  launch<two_stages>("stages", 1, 32, 0, test_stream(), static_cast<const float*>(dx.get()), y.get());
  const std::vector<float> got = y.read();
  for (int i = 0; i < 256; ++i) EXPECT_EQ(got[i], x[i / 128 * 128 + 4 * (31 - i % 128 / 4) + i % 4]);
}

DEVICE void elementary(int64_t i, const float* x, float* y) {
  y[4 * i] = expf(x[i]);
  y[4 * i + 1] = fmaf(x[i], 1.0f / 3.0f, x[i]);
  y[4 * i + 2] = to_float(from_float<bf16>(x[i]));
  y[4 * i + 3] = sqrtf(fabsf(x[i]));
}

// fmaf, square roots and the rounding to bf16 are exact by their definition; expf is within two units in the last
// place.
TEST(Words, Arithmetic) {
  constexpr int n = 4096;
  std::vector<float> x(n);
  for (int i = 0; i < n; ++i) x[i] = 10.0f * random_float(9, i);
  OnDevice<float> dx(x), y(4 * n);
  for_each<elementary>("elementary", n, test_stream(), static_cast<const float*>(dx.get()), y.get());
  const std::vector<float> got = y.read();
  for (int i = 0; i < n; ++i) {
    const double e = std::exp(static_cast<double>(x[i]));
    EXPECT_NEAR(got[4 * i], e, e * 0x1p-22);
    EXPECT_EQ(got[4 * i + 1], std::fma(x[i], 1.0f / 3.0f, x[i]));
    EXPECT_LE(std::fabs(got[4 * i + 2] - x[i]), std::fabs(x[i]) * 0x1p-8f);
    EXPECT_EQ(got[4 * i + 3], std::sqrt(std::fabs(x[i])));
  }
}

}  // namespace
}  // namespace ito
