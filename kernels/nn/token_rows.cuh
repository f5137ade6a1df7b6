// SPDX-License-Identifier: Apache-2.0
// What kernels over the tokens of an image share: strips of a token's channels, a group of lanes a token, and sums over
// an image's tokens, a number a channel. Include after "dialect.h".
// Sums: a block owns kStripChannels channels of one image and walks its tokens; on a GPU eight teams of 32 threads take
// every eighth token and are folded in order. A thread folds runs of kTokenRun tokens, so that the error grows as
// kTokenRun + tokens / kTokenRun roundings. The order is a function of the tokens alone: an image's sums know nothing
// of the batch.
#pragma once
#include "kernels/nn/rows.cuh"

namespace ito {

inline constexpr int kTokenThreads = block_threads(256);
inline constexpr int kStripChannels = 32;
inline constexpr int kTokenRun = 64;
inline constexpr int kTokenColumns = kTokenThreads < kStripChannels ? kTokenThreads : kStripChannels;
inline constexpr int kTokenTeams = kTokenThreads / kTokenColumns;
inline constexpr int kSumFold = kTokenTeams * kStripChannels;  // numbers of shared memory a sum

// A block of a launch over (image, strip of channels).
struct StripPlace {
  int64_t image;
  int first, width;
  DEVICE StripPlace(int64_t block, int c) {
    const int strips = (c + kStripChannels - 1) / kStripChannels;
    image = block / strips;
    first = static_cast<int>(block % strips) * kStripChannels;
    width = c - first < kStripChannels ? c - first : kStripChannels;
  }
};

// fold[s * kSumFold + j] = the sum over the tokens r of term s of channel j; of_token(r) is a function (j, terms).
template <int SUMS, class OfToken>
DEVICE void sum_tokens(float* fold, int tokens, int width, OfToken&& of_token) {
  constexpr int kOwn = kStripChannels / kTokenColumns;
  const int column = static_cast<int>(threadIdx.x) % kTokenColumns,
            team = static_cast<int>(threadIdx.x) / kTokenColumns;
  float total[SUMS][kOwn] = {};
  for (int begin = 0; begin < tokens; begin += kTokenRun * kTokenTeams) {
    const int end = begin + kTokenRun * kTokenTeams < tokens ? begin + kTokenRun * kTokenTeams : tokens;
    float sum[SUMS][kOwn] = {};
    for (int r = begin + team; r < end; r += kTokenTeams) {
      const auto term = of_token(r);
      for_own_columns<kStripChannels, kTokenColumns>(column, width, [&](int k, int j) {
        float terms[SUMS];
        term(j, terms);
        for (int s = 0; s < SUMS; ++s) sum[s][k] += terms[s];
      });
    }
    for (int s = 0; s < SUMS; ++s)
      for (int k = 0; k < kOwn; ++k) total[s][k] += sum[s][k];
  }
  for (int s = 0; s < SUMS; ++s)
    for (int k = 0; k < kOwn; ++k)
      fold[s * kSumFold + team * kStripChannels + column + k * kTokenColumns] = total[s][k];
  block_sync();
  BLOCK_LOOP(i, SUMS * width) {
    float* first = fold + i / width * kSumFold + i % width;
    float sum = first[0];
    for (int team_of = 1; team_of < kTokenTeams; ++team_of) sum += first[team_of * kStripChannels];
    first[0] = sum;
  }
  block_sync();
}

// Calls f with the widest strip of channels that divides them, an integral_constant: 16 bytes on a GPU, 32 numbers on a
// CPU; where it does not divide, 8 there, and 2 or 1.
template <class T, int kLeast = 1, class F>
void by_token_strip(int c, std::initializer_list<const void*> addresses, F&& f) {
  constexpr int kWide = kPack<T>;
  const bool whole = aligned(addresses);
  if (whole && c % kWide == 0) return f(std::integral_constant<int, kWide>{});
  if constexpr (kWide > 8)
    if (whole && c % 8 == 0) return f(std::integral_constant<int, 8>{});
  f(std::integral_constant<int, kLeast>{});
}

// V numbers of which some may be absent: `otherwise` then.
template <int V>
DEVICE void load_or(float (&f)[V], const float* p, float otherwise) {
  if (p)
    load_floats(f, p);
  else
    for_lanes<V>([&](int v) { f[v] = otherwise; });
}

// The sum of V numbers, a power of two, by halves.
template <int V>
DEVICE float sum_of_strip(float (&f)[V]) {
  for (int half = V / 2; half; half /= 2)
    for (int v = 0; v < half; ++v) f[v] += f[v + half];
  return f[0];
}

// The sum over a group of `lanes` neighbouring lanes, to all of them. A template, for shuffles are no word of the cpu.
template <class T>
DEVICE T lanes_total(T v, int lanes) {
  if constexpr (WARP > 1)
    for (int half = lanes / 2; half; half /= 2) v += shfl_xor(v, half);
  return v;
}

// Lanes that a row of so many strips keeps busy: a power of two, at most a warp. By the row's width alone.
inline int lanes_of_row(int strips) {
  int lanes = 1;
  while (lanes < WARP && lanes < strips) lanes *= 2;
  return lanes;
}

}  // namespace ito
