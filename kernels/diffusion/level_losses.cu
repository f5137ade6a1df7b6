// SPDX-License-Identifier: Apache-2.0
// Loss-second-moment resampling (formulas in the header). A level looks through the batch for its own images, in their
// order, so that no image waits for another and passes do not matter; the loads are the same for all levels and come
// from cache. The chances are one block: their sum is taken in double by runs of levels, in an order that the number of
// levels and the device library fix, and from there on all is whole numbers, whose sums have no order.
// Refused: counting sort of the batch by level (more launches for a kernel of microseconds).
#include "kernels/diffusion/level_losses.h"

#include "dialect.h"
#include "kernels/dialect/double_math.h"

namespace ito {
namespace {

constexpr int kThreads = 256;
constexpr uint64_t kWords = uint64_t{1} << 32;

DEVICE void record_level(int64_t level, float* losses, int32_t* counts, const float* loss, const ForwardRow* rows,
                         const float* scale, const int32_t* apply, int n) {
  if (*apply == 0) return;
  int32_t count = counts[level];
  for (int image = 0; image < n; ++image) {
    if (rows[image].level != level) continue;
    const float own = loss[image] / scale[level];
    if (!is_finite(static_cast<double>(own))) continue;
    losses[level * kLevelHistory + count % kLevelHistory] = own;
    if (++count == 2 * kLevelHistory) count = kLevelHistory;
  }
  counts[level] = count;
}

// r_t but for the root of ten, which cancels.
DEVICE double root_of(const float* losses, int64_t level) {
  double squares = 0.0;
  for (int i = 0; i < kLevelHistory; ++i) {
    const double loss = static_cast<double>(losses[level * kLevelHistory + i]);
    squares += loss * loss;  // exact in double
  }
  return sqrt(squares);
}

template <int NT>
KERNEL void level_loss_chances_kernel(uint64_t* thresholds, float* scale, const float* losses, const int32_t* counts,
                                      int levels, double uniform) {
  SHARED(uint64_t, words_of, NT);
  const int64_t own = ceil_div(levels, NT), first = int64_t{threadIdx.x} * own;
  const int64_t last = first + own < levels ? first + own : levels;
  double sum = 0.0;
  int missing = 0;
  for (int64_t level = first; level < last; ++level) {
    sum += root_of(losses, level);
    if (counts[level] < kLevelHistory) ++missing;
  }
  const double total = block_sum(sum);
  const bool learned = block_sum(missing) == 0 && total > 0.0;

  const auto words = [&](int64_t level) {
    const double chance = (1.0 - uniform) * (root_of(losses, level) / total) + uniform / levels;
    return static_cast<uint64_t>(chance * static_cast<double>(kWords));
  };
  uint64_t own_words = 0;
  if (learned)
    for (int64_t level = first; level < last; ++level) own_words += words(level);
  words_of[threadIdx.x] = own_words;
  block_sync();
  uint64_t below = 0;
  for (int thread = 0; thread < static_cast<int>(threadIdx.x); ++thread) below += words_of[thread];

  for (int64_t level = first; level < last; ++level) {
    if (!learned) {  // the words that uniform_below sends to this level and those before it
      thresholds[level] = (static_cast<uint64_t>(level + 1) * kWords + levels - 1) / levels;
      scale[level] = 1.0f;
      continue;
    }
    uint64_t up_to = below + words(level);
    if (up_to > kWords || level + 1 == levels) up_to = kWords;
    const double chance = static_cast<double>(up_to - below) / static_cast<double>(kWords);
    thresholds[level] = up_to;
    scale[level] = up_to > below ? static_cast<float>(1.0 / (levels * chance)) : 0.0f;
    below = up_to;
  }
}

}  // namespace

void record_level_losses(Stream& stream, float* losses, int32_t* counts, const float* loss, const ForwardRow* rows,
                         const float* scale, const int32_t* apply, int levels, int n) {
  ITO_CHECK(n >= 0 && levels > 0, "record_level_losses: N ", n, ", levels ", levels, ", expected positive sizes");
  for_each<record_level>("record_level_losses", levels, stream, losses, counts, loss, rows, scale, apply, n);
}

void level_loss_chances(Stream& stream, uint64_t* thresholds, float* scale, const float* losses, const int32_t* counts,
                        int levels, double uniform) {
  ITO_CHECK(levels > 0 && uniform >= 0 && uniform <= 1, "level_loss_chances: levels ", levels, ", uniform share ",
            uniform, ", expected a positive number of levels and 0 to 1");
  constexpr int NT = block_threads(kThreads);
  launch<level_loss_chances_kernel<NT>>("level_loss_chances", Dim3(1), NT, 0, stream, thresholds, scale, losses, counts,
                                        levels, uniform);
}

}  // namespace ito
