// SPDX-License-Identifier: Apache-2.0
// The order in which training sees the data: each epoch is its own permutation, and every entry is a pure function of
// (seed, position). Batch size, threads and the point of resume leave it as it is.
#pragma once
#include <cstdint>
#include <vector>

namespace ito {

// position = step x global batch + i, counted from the start of training; epoch = position / count.
// Philox counters: permutation (draw / 4, epoch, 0, Permutation), word draw % 4, where draw k picks the partner of
// entry count-1-k in a Fisher-Yates shuffle; flip (0, position >> 32, position, Flip), lowest bit of word 0.
class DataOrder {
 public:
  DataOrder(uint64_t seed, int64_t count);

  // The image at this position. Two epochs are kept, since a batch may straddle two; not safe from several threads.
  int64_t index(int64_t position);
  // Whether that image is mirrored.
  bool flip(int64_t position) const;

 private:
  struct Epoch {
    int64_t number = -1;
    std::vector<uint32_t> permutation;
  };
  const Epoch& epoch(int64_t number);

  uint64_t seed_;
  int64_t count_;
  Epoch cached_[2];  // epoch e in slot e % 2
};

}  // namespace ito
