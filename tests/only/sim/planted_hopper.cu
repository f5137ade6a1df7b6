// SPDX-License-Identifier: Apache-2.0
// Kernels in Hopper's words with one bug each. One kernel is right and does what a kernel with a producer and a
// consumer does; the bugs are that kernel with one thing wrong, chosen by a number, so that its line is known.
#include "hopper.h"

#include "tests/only/sim/planted_hopper.h"

namespace ito::planted {
namespace {

constexpr int kTile = 64 * 128;  // 64 rows of 64 bf16
constexpr int kBlocks = 2;       // which do the same
constexpr size_t kShared = 5 * kTile + kTileSlack;

// Two stages for A, one for B, a result that goes out. A (64 rounds, 64), B (64, 64) along k; c = sum of A_i B^T, each
// round's A, in bf16. Threads 0 to 127 are the consumer, 128 to 255 the producer, and
// a warpgroup gives registers away.
template <Fault kFault>
KERNEL LAUNCH_THREADS(384) void pipeline(TMA_PARAMETER a, TMA_PARAMETER b, TMA_PARAMETER c, int rounds) {
  constexpr auto is = [](Fault fault) { return kFault == fault; };
  SHARED(uint64_t, full, 2);
  SHARED(uint64_t, empty, 2);
  SHARED(uint64_t, weights, 1);
  unsigned char *as = tile_memory(), *bs = as + 2 * kTile, *out = as + 3 * kTile;
  if (threadIdx.x == 0) {
    for (int s = 0; s < 2; ++s) {
      bar_init(full + s, 1);
      bar_init(empty + s, 1);
    }
    bar_init(weights + 0, 1);
    if (is(Fault::InitTwice)) bar_init(full + 1, 1);
  }
  if (!is(Fault::NoSyncAfterInit)) block_sync();
  if (threadIdx.x >= 256) {
    regs_dec<40>();
  } else if (threadIdx.x >= 128) {
    if (is(Fault::Registers))
      regs_inc<240>();
    else
      regs_dec<40>();
    if (threadIdx.x < 160 && elect_one()) {
      bar_expect(weights + 0, kTile);
      tma_load(is(Fault::Misaligned) ? bs + 512 : bs, b, weights + 0, {0, 0});
      for (int i = 0; i < rounds; ++i) {
        const int s = i & 1;
        const unsigned parity = i >> 1 & 1;
        if (!is(Fault::NoEmptyWait)) bar_wait(empty + s, parity ^ 1);
        bar_expect(full + s, is(Fault::TooManyBytes) ? kTile + 16 : is(Fault::TooFewBytes) ? kTile - 16 : kTile);
        if (is(Fault::ExpectTwice)) bar_expect(full + s, kTile);
        tma_load(as + s * kTile, a, full + s, {0, 64 * i});
      }
    }
  } else {
    regs_inc<232>();
    float acc[32], early = 0.0f;
    for (float& v : acc) v = 0.0f;
    if (!is(Fault::NoWeightsWait)) bar_wait(weights + 0, 0);
    for (int i = 0; i < rounds; ++i) {
      const int s = i & 1;
      bar_wait(full + s, is(Fault::NoParity) ? 0 : i >> 1 & 1);
      if (!is(Fault::NoFence)) wg_fence(acc);
      if (is(Fault::LateWrite)) acc[0] += 1.0f;
      for (int k = 0; k < 4; ++k) {
        uint64_t of_a = k_major<TileRows::Bytes128>(as + s * kTile) + 2 * k;
        if (is(Fault::Divergent) && threadIdx.x == 77) of_a += 2;
        if (is(Fault::Outside)) of_a += kShared / 16 + 64;
        wg_mma<64>(acc, of_a, k_major<TileRows::Bytes128>(bs) + 2 * k);
      }
      wg_commit();
      if (is(Fault::EarlyRead)) early = acc[1];
      if (is(Fault::EarlyWrite)) acc[1] = 1.0f;
      if (is(Fault::EarlyArrival) && threadIdx.x == 0) bar_arrive(empty + s);
      if (is(Fault::EarlyStore) && threadIdx.x == 0) Packed<bf16, 2>{}.store(reinterpret_cast<bf16*>(as + s * kTile));
      if (!is(Fault::NoProductWait)) wg_wait<0>(acc);
      if (is(Fault::EarlyRead)) acc[1] = early;
      if (threadIdx.x == 0 && !is(Fault::EarlyArrival) && !is(Fault::NoArrival)) bar_arrive(empty + s);
    }
    const int l = static_cast<int>(threadIdx.x) % WARP, w = static_cast<int>(threadIdx.x) / WARP;
    for (int j = 0; j < 32; j += 2) {
      const int row = 16 * w + l / 4 + 8 * (j >> 1 & 1), column = 8 * (j >> 2) + 2 * (l % 4);
      const Packed<bf16, 2> pair{{from_float<bf16>(acc[j]), from_float<bf16>(acc[j + 1])}};
      pair.store(reinterpret_cast<bf16*>(out + swizzled<TileRows::Bytes128>(128 * row + 2 * column)));
    }
    if (!is(Fault::NoProxyFence)) proxy_fence();
    if (is(Fault::OtherCount) && threadIdx.x >= 64)
      named_sync(1, 64);
    else if (!is(Fault::NoNamedSync))
      named_sync(1, 128);
    if (threadIdx.x == 0) {
      tma_store(c, out, {0, 64 * static_cast<int>(blockIdx.x)});
      tma_store_commit();
      if (is(Fault::StoreReuse)) Packed<bf16, 2>{}.store(reinterpret_cast<bf16*>(out));
      if (!is(Fault::NoStoreWait)) tma_store_wait<0>();
    }
  }
}

TmaMap map_of(bf16* base, int rows) {
  TmaBox box;
  box.base = base;
  box.rank = 2;
  box.size[0] = box.box[0] = box.box[1] = 64;
  box.size[1] = rows;
  box.stride[0] = 2;
  box.stride[1] = 128;
  box.rows = TileRows::Bytes128;
  return tma_map(box);
}

template <Fault kFault>
void run(Stream& stream, bf16* a, bf16* b, bf16* c, int rounds) {
  launch<pipeline<kFault>>("pipeline", kBlocks, 384, kShared, stream, map_of(a, 64 * rounds), map_of(b, 64),
                           map_of(c, kBlocks * 64), rounds);
}

}  // namespace

void run_pipeline(Stream& stream, bf16* a, bf16* b, bf16* c, int rounds) {
  run<Fault::None>(stream, a, b, c, rounds);
}

const std::vector<HopperBug>& hopper_bugs() {
  using enum Fault;
  static const std::vector<HopperBug> list = {
      {"InitTwice", 5, "barrier in use", run<InitTwice>},
      {"NoSyncAfterInit", 5, "missing barrier|that nobody made", run<NoSyncAfterInit>},
      {"Registers", 5, "register budget", run<Registers>},
      {"Misaligned", 5, "misaligned address: tma_load", run<Misaligned>},
      {"NoEmptyWait", 5, "tma_load in flight|buffer in use|arrival count|phase slip|missing bar_wait",
       run<NoEmptyWait>},
      {"TooManyBytes", 5, "deadlock: .*bar_wait.* and 16 bytes missing", run<TooManyBytes>},
      {"TooFewBytes", 5, "byte count: a copy of 8192 bytes brings 16 more", run<TooFewBytes>},
      {"ExpectTwice", 5, "arrival count: bar_expect|byte count", run<ExpectTwice>},
      {"NoWeightsWait", 5, "tma_load in flight: wg_mma .B.|uninitialised read: wg_mma .B.|missing bar_wait: wg_mma .B.",
       run<NoWeightsWait>},
      {"NoParity", 5, "tma_load in flight: wg_mma .A.|phase slip|deadlock|missing bar_wait: wg_mma .A.", run<NoParity>},
      {"NoFence", 5, "missing wg_fence: none covers the accumulators", run<NoFence>},
      {"LateWrite", 5, "missing wg_fence: the accumulators were written", run<LateWrite>},
      {"Divergent", 5, "divergent descriptors", run<Divergent>},
      {"Outside", 5, "shared overrun: wg_mma .A.", run<Outside>},
      {"EarlyArrival", 4, "buffer in use: tma_load", run<EarlyArrival>},
      {"EarlyStore", 5, "buffer in use: a write", run<EarlyStore>},
      {"NoProductWait", 5, "buffer in use|missing wg_wait|wg_mma in flight", run<NoProductWait>},
      {"NoArrival", 5, "deadlock: .*bar_wait.*1 of 1 arrivals", run<NoArrival>},
      {"NoProxyFence", 5, "missing proxy_fence: .* and has not fenced", run<NoProxyFence>},
      {"OtherCount", 5, "wrong barrier site: named barrier 1|deadlock", run<OtherCount>},
      {"NoNamedSync", 5, "missing proxy_fence: .*(no barrier since|has not fenced since)|uninitialised read: tma_store",
       run<NoNamedSync>},
      {"StoreReuse", 4, "tma_store in flight: a write", run<StoreReuse>},
      {"NoStoreWait", 4, "tma_store in flight: the thread ends", run<NoStoreWait>},
      {"EarlyWrite", 5, "missing wg_wait: accumulators were written", run<EarlyWrite>},
      {"EarlyRead", 5, "", run<EarlyRead>},
  };
  return list;
}

}  // namespace ito::planted
