// SPDX-License-Identifier: Apache-2.0
// Products of bf16 tiles with mma.sync m16n8k16 and a ring of shared stages: what the three products of a convolution
// have in common. A block owns (kM, kN) of the result and walks the inner dimension kK at a time; each warp owns
// (kWarpM, kWarpN). Tiles lie in rows whose 16-byte chunks are permuted, so that neither ldmatrix nor the copies of
// eight lanes meet a bank twice. One barrier a step: a stage is filled kStages - 1 steps before it is read, and the
// stage being filled is the one that all warps have left before the barrier.
// Order of a sum: the inner index, in steps of 16 as mma_tile adds them; nothing else enters it.
// Refused: fragments read from global memory (each would be fetched by every warp that uses it), and a split of the
// inner dimension over warps (its sums would have to be joined).
// Include after "dialect.h".
#pragma once
#include "kernels/types.h"

namespace ito {

template <int kTileM, int kTileN, int kTileK, int kWarpsDown, int kWarpsAcross, int kRing>
struct MmaTile {
  static constexpr int kM = kTileM, kN = kTileN, kK = kTileK, kStages = kRing;
  static constexpr int kThreads = 32 * kWarpsDown * kWarpsAcross;
  static constexpr int kDown = kWarpsDown, kAcross = kWarpsAcross;
  static constexpr int kWarpM = kM / kDown, kWarpN = kN / kAcross, kMT = kWarpM / 16, kNT = kWarpN / 8;
  static constexpr int kStage = (kM + kN) * kK;                                // elements
  static constexpr size_t kSharedBytes = sizeof(uint16_t) * kStage * kStages;  // also holds what the epilogue stages
  static constexpr int kPitch = kN + 8;  // of a result in shared memory: no bank twice
  static_assert(kMT * 16 * kDown == kM && kNT * 8 * kAcross == kN && kNT % 2 == 0 && kK % 16 == 0 && kStages >= 2);
  static_assert(2u * kM * kPitch <= kSharedBytes);
};

// n / divisor without a division: q = (n * multiplier >> 32) >> shift, exact for 0 <= n < 2^31.
struct FastDivide {
  uint32_t multiplier = 0;  // 0: the divisor is 1
  int shift = 0;
  FastDivide() = default;
  explicit FastDivide(int divisor) {
    if (divisor == 1) return;
    while ((int64_t{2} << shift) < divisor) ++shift;
    multiplier = static_cast<uint32_t>(ceil_div(int64_t{1} << (32 + shift), divisor));
  }
  DEVICE int operator()(int n) const {
    const uint32_t high = static_cast<uint32_t>(uint64_t{static_cast<uint32_t>(n)} * multiplier >> 32);
    return multiplier ? static_cast<int>(high >> shift) : n;
  }
};

// A column of the inner dimension as (tap, channel), `width` channels a tap, that moves on by `step` columns at a time.
class TapColumn {
 public:
  DEVICE TapColumn(int column, int width, int step)
      : width_(width), step_taps_(step / width), step_c_(step % width), tap_(column / width), c_(column % width) {}
  DEVICE void next() {
    tap_ += step_taps_;
    c_ += step_c_;
    const bool over = c_ >= width_;
    tap_ += over ? 1 : 0;
    c_ -= over ? width_ : 0;
  }
  DEVICE int tap() const { return tap_; }
  DEVICE int c() const { return c_; }

 private:
  int width_, step_taps_, step_c_, tap_, c_;
};

// f(0), f(1), .. with the numbers known to the compiler, so that what they index stays in registers.
template <int kCount, int kFirst = 0, class F>
DEVICE void unrolled(F&& f) {
  if constexpr (kFirst < kCount) {
    f(std::integral_constant<int, kFirst>{});
    unrolled<kCount, kFirst + 1>(f);
  }
}

// Where 16-byte chunk `chunk` of row `row` lies in a tile with rows of kRow elements; in elements.
template <int kRow>
DEVICE int tile_place(int row, int chunk) {
  static_assert(kRow % 32 == 0 || kRow == 16);
  if constexpr (kRow % 64 == 0)
    return row * kRow + ((chunk & ~7) + ((chunk ^ row) & 7)) * 8;
  else if constexpr (kRow % 32 == 0)
    return row * kRow + ((chunk & ~3) + ((chunk ^ (row >> 1)) & 3)) * 8;
  else
    return row * kRow + (chunk ^ ((row >> 2) & 1)) * 8;
}

// How the threads of a block share out a tile of kRows rows of kRow elements, a chunk of 8 each: thread i has one chunk
// column and the rows first + kPass j. Where rows have no power of two of chunks, threads behind the last pass have
// none.
template <int kRows, int kRow, int kThreads>
struct TileShare {
  static constexpr int kChunks = kRow / 8;
  static constexpr bool kEven = kThreads % kChunks == 0;
  static constexpr int kPass =
      kEven ? kThreads / kChunks : kThreads / kChunks / 8 * 8;     // rows a pass of the block covers
  static constexpr int kOwn = kRows > kPass ? kRows / kPass : 1;   // rows a thread has
  static constexpr bool kAll = kEven && kRows >= kPass;            // else only the first threads have one
  static constexpr int kAdvance = kRows >= kPass ? kPass : kRows;  // from a thread's row to its next
  static_assert(kPass > 0 && (kRows >= kPass ? kRows % kPass == 0 : true));
  DEVICE static int chunk() { return static_cast<int>(threadIdx.x % kChunks); }
  DEVICE static int first() { return static_cast<int>(threadIdx.x / kChunks); }
  DEVICE static bool busy() { return kAll || first() < kAdvance; }
  // Eight rows further a chunk's place in its row is the same.
  static_assert(kOwn == 1 || kPass % 8 == 0);
  DEVICE static int place(int own) { return tile_place<kRow>(first(), chunk()) + own * kPass * kRow; }
};

// Row `row` of rows of `bytes` bytes.
DEVICE const bf16* row_at(const bf16* rows, int row, int bytes) {
  return reinterpret_cast<const bf16*>(reinterpret_cast<const char*>(rows) + int64_t{row} * bytes);
}

// Eight elements of which `count` are there, one at a time: rows whose length is no multiple of 8 are not aligned.
DEVICE void gather8(bf16* to, const bf16* from, int count) {
  Packed<bf16, 8> out;
  for (int i = 0; i < 8; ++i) out[i] = i < count ? from[i] : bf16{0};
  out.store(to);
}

// Where this lane's first row of A's fragments lies at sub-step 0: the tile is [m][k], or [k][m] where it is transposed
// on the way. Other rows are a multiple of 16 further, other chunks an even number, which is a flip of bits where a
// warp has a power of two of them; else `more` asks for them.
template <class Tile, bool kTrans>
DEVICE int lane_a(int more = 0) {
  const int l = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int m0 = warp / Tile::kAcross * Tile::kWarpM;
  return kTrans ? tile_place<Tile::kM>((l & 7) + 8 * (l >> 4), m0 / 8 + ((l >> 3) & 1) + more)
                : tile_place<Tile::kK>(m0 + (l & 15), l >> 4);
}
// B's: the tile is [n][k], or [k][n].
template <class Tile, bool kTrans>
DEVICE int lane_b(int more = 0) {
  const int l = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int n0 = warp % Tile::kAcross * Tile::kWarpN;
  return kTrans ? tile_place<Tile::kN>((l & 7) + 8 * ((l >> 3) & 1), n0 / 8 + (l >> 4) + more)
                : tile_place<Tile::kK>(n0 + (l & 7) + 8 * (l >> 4), (l >> 3) & 1);
}

template <class Tile, bool kTrans>
DEVICE void load_a(uint32_t (&a)[Tile::kMT][4], const bf16* tile, int lane, int k16) {
  static_assert(!kTrans || Tile::kWarpM <= 64);
  constexpr bool kFlips = (Tile::kWarpM & (Tile::kWarpM - 1)) == 0;
  for (int m = 0; m < Tile::kMT; ++m) {
    if constexpr (kTrans)
      ldmatrix_x4_trans(a[m], tile + (kFlips ? lane ^ 16 * m : lane_a<Tile, kTrans>(2 * m)) + 16 * k16 * Tile::kM);
    else
      ldmatrix_x4(a[m], tile + (lane ^ 16 * k16) + 16 * m * Tile::kK);
  }
}
template <class Tile, bool kTrans>
DEVICE void load_b(uint32_t (&b)[Tile::kNT][2], const bf16* tile, int lane, int k16) {
  static_assert(!kTrans || Tile::kWarpN <= 64);
  constexpr bool kFlips = (Tile::kWarpN & (Tile::kWarpN - 1)) == 0;
  for (int n = 0; n < Tile::kNT; n += 2) {
    if constexpr (kTrans)
      ldmatrix_x4_trans(&b[n][0], tile + (kFlips ? lane ^ 8 * n : lane_b<Tile, kTrans>(n)) + 16 * k16 * Tile::kN);
    else
      ldmatrix_x4(&b[n][0], tile + (lane ^ 16 * k16) + 8 * n * Tile::kK);
  }
}

// acc = the product over `steps` steps. load(a, b) is called for one step after another and fills a stage with copies,
// with zeros from the last step on, where it is called without a condition, so that addresses are made between
// products; look(a) sees each step's A before it is replaced. After it the stages are free.
template <class Tile, bool kATrans, bool kBTrans, class Load, class Look>
DEVICE void multiply(float (&acc)[Tile::kMT][Tile::kNT][4], bf16* stages, int steps, Load&& load, Look&& look) {
  constexpr int kA = Tile::kM * Tile::kK, kAhead = Tile::kStages - 1, kSub = Tile::kK / 16;
  for (int m = 0; m < Tile::kMT; ++m)
    for (int n = 0; n < Tile::kNT; ++n)
      for (int i = 0; i < 4; ++i) acc[m][n][i] = 0.0f;
  for (int s = 0; s < kAhead; ++s) {
    load(stages + s * Tile::kStage, stages + s * Tile::kStage + kA);
    cp_async_commit();
  }
  const int lane_in_a = lane_a<Tile, kATrans>(), lane_in_b = lane_b<Tile, kBTrans>();
  int read = 0, write = kAhead;
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<kAhead - 1>();
    block_sync();
    const bf16* a_tile = stages + read * Tile::kStage;
    uint32_t a[2][Tile::kMT][4], b[2][Tile::kNT][2];  // the next sub-step's are on their way while one is multiplied
    load_a<Tile, kATrans>(a[0], a_tile, lane_in_a, 0);
    load_b<Tile, kBTrans>(b[0], a_tile + kA, lane_in_b, 0);
    load(stages + write * Tile::kStage, stages + write * Tile::kStage + kA);
    cp_async_commit();
    look(a_tile);
    for (int k16 = 0; k16 < kSub; ++k16) {
      if (k16 + 1 < kSub) {
        load_a<Tile, kATrans>(a[(k16 + 1) % 2], a_tile, lane_in_a, k16 + 1);
        load_b<Tile, kBTrans>(b[(k16 + 1) % 2], a_tile + kA, lane_in_b, k16 + 1);
      }
      mma_tile(acc, a[k16 % 2], b[k16 % 2]);
    }
    read = read + 1 == Tile::kStages ? 0 : read + 1;
    write = write + 1 == Tile::kStages ? 0 : write + 1;
  }
  cp_async_wait<0>();
  block_sync();
}

}  // namespace ito
