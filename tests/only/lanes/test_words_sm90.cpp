// SPDX-License-Identifier: Apache-2.0
// Hopper's words against plain loops: copies of boxes with every swizzle, at edges and with steps; products of a
// warpgroup for each layout of the operands and width. On sim this tests the emulation, on a Hopper GPU the hardware,
// so that the two agree. Small whole numbers make every sum exact.
#include "hopper.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "kernels/random/philox.h"
#include "tests/kernels/one_stream.h"

namespace ito {
namespace {

using test::test_stream;
template <class T>
using OnDevice = test::TestArray<T>;

int small(uint32_t seed, int64_t i) {
  return static_cast<int>(philox4x32(seed, static_cast<uint32_t>(i), 0, 0, 0x5A90u).v[0] % 255) - 127;
}
bf16 bf16_of_small(int v) {
  const float f = static_cast<float>(v);
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return bf16{static_cast<uint16_t>(bits >> 16)};
}
std::vector<bf16> small_tensor(uint32_t seed, int64_t n) {
  std::vector<bf16> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) v[static_cast<size_t>(i)] = bf16_of_small(small(seed, i));
  return v;
}

struct Words90 : testing::Test {
  void SetUp() override {
    if (!device_has_wgmma()) GTEST_SKIP() << "not a Hopper GPU";
  }
};

// A tensor (n, h, w, c) and a box of it.
struct BoxCase {
  int n, h, w, c;
  int box[4], step[4];  // c, w, h, n
  int at[4];
  TileRows rows;
};
const BoxCase kBoxes[] = {
    {2, 5, 6, 64, {64, 4, 2, 1}, {1, 1, 1, 1}, {0, 1, 2, 1}, TileRows::Bytes128},     // inside
    {2, 5, 6, 72, {64, 8, 8, 2}, {1, 1, 1, 1}, {64, -1, -1, 1}, TileRows::Bytes128},  // over every edge
    {3, 7, 9, 64, {64, 8, 4, 2}, {1, 2, 2, 1}, {0, -1, 3, 0}, TileRows::Bytes128},    // every second pixel
    {2, 4, 4, 40, {32, 4, 4, 2}, {1, 1, 1, 1}, {8, 0, -1, 0}, TileRows::Bytes64},
    {2, 4, 4, 32, {16, 4, 4, 2}, {1, 1, 1, 1}, {16, 0, 1, 0}, TileRows::Bytes32},
    {2, 4, 4, 32, {24, 3, 4, 1}, {1, 1, 1, 1}, {8, 2, 1, 1}, TileRows::Plain},
};

TmaBox box_of(const BoxCase& t, const bf16* base) {
  TmaBox box;
  box.base = base;
  box.rank = 4;
  const int size[] = {t.c, t.w, t.h, t.n};
  for (int d = 0; d < 4; ++d) {
    box.size[d] = size[d];
    box.stride[d] = d ? box.stride[d - 1] * size[d - 1] : 2;
    box.box[d] = t.box[d];
    box.step[d] = t.step[d];
  }
  box.rows = t.rows;
  return box;
}

// The tile as it lies in shared memory.
KERNEL LAUNCH_THREADS(128) void load_box(TMA_PARAMETER map, int c, int w, int h, int n, unsigned bytes, uint32_t* out) {
  SHARED(uint64_t, bar, 1);
  unsigned char* tile = tile_memory();
  if (threadIdx.x == 0) bar_init(bar + 0, 1);
  block_sync();
  if (threadIdx.x < WARP && elect_one()) {
    bar_expect(bar + 0, bytes);
    tma_load(tile, map, bar + 0, {c, w, h, n});
  }
  bar_wait(bar + 0, 0);
  BLOCK_LOOP(i, bytes / 4) out[i] = Packed<uint32_t, 1>::load(reinterpret_cast<uint32_t*>(tile) + i)[0];
}

TEST_F(Words90, BoxesAreLoadedAsTheyLie) {
  for (const BoxCase& t : kBoxes) {
    const std::vector<bf16> x = small_tensor(1, int64_t{1} * t.n * t.h * t.w * t.c);
    OnDevice<bf16> dx(x);
    const TmaBox box = box_of(t, dx.get());
    OnDevice<uint32_t> out(static_cast<size_t>(box.bytes()) / 4);
    launch<load_box>("load_box", 1, 128, static_cast<size_t>(box.bytes()) + kTileSlack, test_stream(), tma_map(box),
                     t.at[0], t.at[1], t.at[2], t.at[3], static_cast<unsigned>(box.bytes()), out.get());
    const std::vector<uint32_t> words = out.read();
    std::vector<uint16_t> got(words.size() * 2);
    std::memcpy(got.data(), words.data(), words.size() * 4);
    const int row_bytes = 2 * t.box[0], chunks = static_cast<int>(t.rows) / 16;
    int line = 0;
    for (int n = 0; n < box.taken(3); ++n)
      for (int h = 0; h < box.taken(2); ++h)
        for (int w = 0; w < box.taken(1); ++w, ++line)
          for (int c = 0; c < t.box[0]; ++c) {
            const int ic = t.at[0] + c, iw = t.at[1] + w * t.step[1], ih = t.at[2] + h * t.step[2], in = t.at[3] + n;
            const bool inside =
                ic >= 0 && ic < t.c && iw >= 0 && iw < t.w && ih >= 0 && ih < t.h && in >= 0 && in < t.n;
            const uint16_t want =
                inside ? x[static_cast<size_t>(((in * t.h + ih) * t.w + iw) * t.c + ic)].bits : uint16_t{0};
            // Rows of 128 bytes: chunk ^ row; of 64: chunk ^ row / 2; of 32: chunk ^ row / 4.
            int chunk = c / 8;
            if (chunks) chunk ^= line * row_bytes / 128 % chunks;
            ASSERT_EQ(got[static_cast<size_t>(line * row_bytes / 2 + 8 * chunk + c % 8)], want)
                << "rows of " << static_cast<int>(t.rows) << ": " << n << " " << h << " " << w << " " << c;
          }
  }
}

// Loads a box, and stores it elsewhere.
KERNEL LAUNCH_THREADS(128) void move_box(TMA_PARAMETER from, TMA_PARAMETER to, int c, int w, int h, int n,
                                         unsigned bytes) {
  SHARED(uint64_t, bar, 1);
  unsigned char* tile = tile_memory();
  if (threadIdx.x == 0) bar_init(bar + 0, 1);
  block_sync();
  if (threadIdx.x < WARP && elect_one()) {
    bar_expect(bar + 0, bytes);
    tma_load(tile, from, bar + 0, {c, w, h, n});
    bar_wait(bar + 0, 0);
    tma_store(to, tile, {c, w, h, n});
    tma_store_commit();
    tma_store_wait<0>();
  }
}

TEST_F(Words90, StoresLeaveAloneWhatIsOutside) {
  for (const BoxCase& t : kBoxes) {
    if (t.step[1] != 1) continue;
    const std::vector<bf16> x = small_tensor(2, int64_t{1} * t.n * t.h * t.w * t.c);
    OnDevice<bf16> dx(x), dy(x.size(), bf16{0x1234});
    const TmaBox from = box_of(t, dx.get()), to = box_of(t, dy.get());
    launch<move_box>("move_box", 1, 128, static_cast<size_t>(from.bytes()) + kTileSlack, test_stream(), tma_map(from),
                     tma_map(to), t.at[0], t.at[1], t.at[2], t.at[3], static_cast<unsigned>(from.bytes()));
    const std::vector<bf16> got = dy.read();
    for (size_t i = 0; i < x.size(); ++i) {
      const int p[] = {static_cast<int>(i) % t.c, static_cast<int>(i) / t.c % t.w,
                       static_cast<int>(i) / t.c / t.w % t.h, static_cast<int>(i) / t.c / t.w / t.h};
      bool inside = true;
      for (int d = 0; d < 4; ++d) inside = inside && p[d] >= t.at[d] && p[d] < t.at[d] + t.box[d];
      ASSERT_EQ(got[i].bits, inside ? x[i].bits : 0x1234) << i;
    }
  }
}

// One product of 64 x 64 by 64 x kN, 16 summed indices a wgmma, operands brought as they are stored: rows along k, or
// along m and n, in panels of 64. Rows of A: along k, of kRow bytes.
template <int kN, bool kAMn, bool kBMn, bool kRegisters, int kRow = 128>
KERNEL LAUNCH_THREADS(128) void product(TMA_PARAMETER a, TMA_PARAMETER b, const bf16* plain_a, float* c) {
  constexpr int kPanel = 64 * 128;
  constexpr TileRows kRows = kRow == 128 ? TileRows::Bytes128 : kRow == 64 ? TileRows::Bytes64 : TileRows::Bytes32;
  constexpr int kWide = kRow / 2, kDeep = kBMn ? 64 : kN;  // summed indices of a row's tile; rows of B's tiles
  SHARED(uint64_t, bar, 1);
  unsigned char *as = tile_memory(), *bs = as + kPanel;
  if (threadIdx.x == 0) bar_init(bar + 0, 1);
  block_sync();
  if (threadIdx.x < WARP && elect_one()) {
    bar_expect(bar + 0, kPanel + kN * 128);
    for (int i = 0; i < 64 / kWide; ++i) tma_load(as + i * 64 * kRow, a, bar + 0, {i * kWide, 0});
    for (int i = 0; i < (kBMn ? kN / 64 : 64 / kWide); ++i)
      tma_load(bs + i * kDeep * kRow, b, bar + 0, {i * (kBMn ? 64 : kWide), 0});
  }
  const int l = static_cast<int>(threadIdx.x) % WARP, w = static_cast<int>(threadIdx.x) / WARP;
  float acc[kN / 2];
  FRAGMENT_LOOP(i, kN / 2) acc[i] = 1.0f;
  uint32_t registers[4][4];
  FRAGMENT_LOOP(k, 4) FRAGMENT_LOOP(i, 4) {
    const bf16* pair = plain_a + (16 * w + l / 4 + 8 * (i & 1)) * 64 + 16 * k + 2 * (l % 4) + 8 * (i >> 1);
    registers[k][i] = pair[0].bits | static_cast<uint32_t>(pair[1].bits) << 16;
  }
  bar_wait(bar + 0, 0);
  if constexpr (kRegisters)
    wg_fence(acc, registers);
  else
    wg_fence(acc);
  FRAGMENT_LOOP(k, 4) {
    const int tile = 16 * k / kWide, inside = 16 * k % kWide * 2;
    const uint64_t da = kAMn ? mn_major(as + k * 2048, kPanel) : k_major<kRows>(as + tile * 64 * kRow + inside);
    const uint64_t db = kBMn ? mn_major(bs + k * 2048, kPanel) : k_major<kRows>(bs + tile * kDeep * kRow + inside);
    if constexpr (kRegisters)
      wg_mma<kN, kBMn ? Major::MN : Major::K>(acc, registers[k], db);
    else
      wg_mma<kN, kAMn ? Major::MN : Major::K, kBMn ? Major::MN : Major::K>(acc, da, db);
  }
  wg_commit();
  wg_wait<0>(acc);
  FRAGMENT_LOOP(j, kN / 2)
  c[(16 * w + l / 4 + 8 * (j >> 1 & 1)) * kN + 8 * (j >> 2) + 2 * (l % 4) + (j & 1)] = acc[j];
}

TmaMap matrix_map(const bf16* base, int rows, int columns, int box_columns, int row_bytes) {
  TmaBox box;
  box.base = base;
  box.rank = 2;
  box.size[0] = columns;
  box.size[1] = rows;
  box.stride[0] = 2;
  box.stride[1] = 2 * columns;
  box.box[0] = box_columns;
  box.box[1] = rows;
  box.rows = static_cast<TileRows>(row_bytes);
  return tma_map(box);
}

template <int kN, bool kAMn, bool kBMn, bool kRegisters, int kRow = 128>
void check_product() {
  const auto at = [](int m, int k) { return small(3, m * 64 + k); };
  const auto bt = [](int k, int n) { return small(4, k * kN + n); };
  std::vector<bf16> a(64 * 64), stored(64 * 64), b(64 * kN);
  for (int m = 0; m < 64; ++m)
    for (int k = 0; k < 64; ++k) {
      a[m * 64 + k] = bf16_of_small(at(m, k));
      stored[kAMn ? k * 64 + m : m * 64 + k] = a[m * 64 + k];
    }
  for (int k = 0; k < 64; ++k)
    for (int n = 0; n < kN; ++n) b[kBMn ? k * kN + n : n * 64 + k] = bf16_of_small(bt(k, n));
  OnDevice<bf16> plain(a), da(stored), db(b);
  OnDevice<float> c(64 * kN);
  launch<product<kN, kAMn, kBMn, kRegisters, kRow>>(
      "product", 1, 128, 64 * 128 + kN * 128 + kTileSlack, test_stream(), matrix_map(da.get(), 64, 64, kRow / 2, kRow),
      matrix_map(db.get(), kBMn ? 64 : kN, kBMn ? kN : 64, kRow / 2, kRow), static_cast<const bf16*>(plain.get()),
      c.get());
  const std::vector<float> got = c.read();
  for (int m = 0; m < 64; ++m)
    for (int n = 0; n < kN; ++n) {
      int want = 1;  // below 2^24: exact
      for (int k = 0; k < 64; ++k) want += at(m, k) * bt(k, n);
      ASSERT_EQ(got[m * kN + n], static_cast<float>(want)) << kN << " wide, row " << m << ", column " << n;
    }
}

TEST_F(Words90, ProductsFromAllLayouts) {
  check_product<64, false, false, false>();
  check_product<64, true, false, false>();
  check_product<128, false, true, false>();
  check_product<64, true, true, false>();
  check_product<32, false, false, false>();
  check_product<192, false, false, false>();
  check_product<256, false, true, false>();
  check_product<64, false, false, false, 64>();
  check_product<64, false, false, false, 32>();
}

TEST_F(Words90, ProductsFromRegisters) {
  check_product<64, false, false, true>();
  check_product<128, false, true, true>();
  check_product<256, false, false, true>();
}

// Two groups of products in flight on accumulators of their own: the older is whole after a wait for all but one.
KERNEL LAUNCH_THREADS(128) void two_groups(float* c) {
  unsigned char* tile = tile_memory();
  BLOCK_LOOP(i, 64 * 64)
  Packed<bf16, 1>{{from_float<bf16>(static_cast<float>(i % 3))}}.store(reinterpret_cast<bf16*>(tile) + i);
  proxy_fence();
  block_sync();
  float first[32], second[32];
  FRAGMENT_LOOP(i, 32) first[i] = second[i] = 0.0f;
  const uint64_t d = k_major<TileRows::Bytes128>(tile);
  wg_fence(first);
  wg_fence(second);
  wg_mma<64>(first, d, d);
  wg_commit();
  wg_mma<64>(second, d, d);
  wg_mma<64>(second, d, d);
  wg_commit();
  wg_wait<1>(first);
  float sum = 0.0f;
  FRAGMENT_LOOP(i, 32) sum += first[i];
  wg_wait<0>(second);
  FRAGMENT_LOOP(i, 32) sum -= 0.5f * second[i];
  c[threadIdx.x] = sum;
}

TEST_F(Words90, GroupsAreWaitedForInTurn) {
  OnDevice<float> c(128, 1.0f);
  launch<two_groups>("two_groups", 1, 128, 64 * 128 + kTileSlack, test_stream(), c.get());
  for (const float v : c.read()) ASSERT_EQ(v, 0.0f);
}

// A producer and two consumers over a ring of two stages, four rounds: phases, parities, the split of registers, and a
// barrier of the consumers alone.
KERNEL LAUNCH_THREADS(384) void ring(TMA_PARAMETER map, int rounds, float* out) {
  SHARED(uint64_t, full, 2);
  SHARED(uint64_t, empty, 2);
  SHARED(float, other, 256);
  unsigned char* tile = tile_memory();
  if (threadIdx.x == 0)
    for (int s = 0; s < 2; ++s) {
      bar_init(full + s, 1);
      bar_init(empty + s, 2);
    }
  block_sync();
  const int role = static_cast<int>(threadIdx.x) / 128;
  if (role == 0) {
    regs_dec<40>();
    if (threadIdx.x < WARP && elect_one())
      for (int i = 0; i < rounds; ++i) {
        bar_wait(empty + i % 2, (i / 2 & 1) ^ 1);
        bar_expect(full + i % 2, 1024);
        tma_load(tile + i % 2 * 1024, map, full + i % 2, {0, 8 * i});
      }
  } else {
    regs_inc<232>();
    const int me = static_cast<int>(threadIdx.x) - 128;
    float sum = 0.0f;
    for (int i = 0; i < rounds; ++i) {
      bar_wait(full + i % 2, i / 2 & 1);
      // Every second element of the tile, wherever the swizzle has put it; each consumer group reads all of them.
      const bf16* at = reinterpret_cast<const bf16*>(tile + i % 2 * 1024) + 4 * (me % 128);
      const auto four = Packed<bf16, 4>::load(at);
      for (int e = 0; e < 4; ++e) sum += to_float(four[e]);
      named_sync(role, 128);
      if (me % 128 == 0) bar_arrive(empty + i % 2);
    }
    other[me] = sum;
    named_sync(3, 256);
    out[me] = sum + other[255 - me];
  }
}

TEST_F(Words90, ARingOfStagesTurns) {
  constexpr int kRounds = 7;
  const std::vector<bf16> x = small_tensor(6, kRounds * 8 * 64);
  OnDevice<bf16> dx(x);
  OnDevice<float> out(256);
  TmaBox box;
  box.base = dx.get();
  box.rank = 2;
  box.size[0] = box.box[0] = 64;
  box.size[1] = kRounds * 8;
  box.box[1] = 8;
  box.stride[0] = 2;
  box.stride[1] = 128;
  box.rows = TileRows::Bytes128;
  launch<ring>("ring", 1, 384, 2048 + kTileSlack, test_stream(), tma_map(box), kRounds, out.get());
  const auto sum_of = [&](int thread) {  // of 4 elements of each round's tile
    float sum = 0.0f;
    for (int i = 0; i < kRounds; ++i)
      for (int e = 0; e < 4; ++e) {
        const int place = 4 * thread + e, row = place / 64, chunk = place / 8 % 8 ^ row;
        const uint32_t bits = uint32_t{x[static_cast<size_t>(i * 512 + row * 64 + 8 * chunk + place % 8)].bits} << 16;
        float v;
        std::memcpy(&v, &bits, 4);
        sum += v;
      }
    return sum;
  };
  const std::vector<float> got = out.read();
  for (int i = 0; i < 256; ++i) ASSERT_EQ(got[i], sum_of(i % 128) + sum_of((255 - i) % 128)) << i;
}

}  // namespace
}  // namespace ito
