// SPDX-License-Identifier: Apache-2.0
// The data order: philox against its published vectors, permutations that are permutations, access in any order.
#include "engine/data/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/error.h"
#include "kernels/random/philox.h"

namespace ito {
namespace {

// Known answers of Random123's philox4x32-10 (counter words 0..3; key word 0 is the seed's lower half).
TEST(Philox, KnownAnswers) {
  struct Case {
    uint32_t counter[4];
    uint32_t key[2];
    uint32_t output[4];
  };
  const Case cases[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const Case& c : cases) {
    const Random4 random =
        philox4x32(uint64_t{c.key[1]} << 32 | c.key[0], c.counter[0], c.counter[1], c.counter[2], c.counter[3]);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(random.v[i], c.output[i]) << i;
  }
}

std::vector<int64_t> indices(DataOrder& order, int64_t from, int64_t to) {
  std::vector<int64_t> all;
  for (int64_t position = from; position < to; ++position) all.push_back(order.index(position));
  return all;
}

TEST(DataOrder, EveryEpochIsAPermutation) {
  for (const int64_t count : {1, 2, 5, 1000}) {
    DataOrder order(3, count);
    std::vector<int64_t> expected(static_cast<size_t>(count));
    std::iota(expected.begin(), expected.end(), 0);
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      std::vector<int64_t> seen = indices(order, epoch * count, (epoch + 1) * count);
      std::sort(seen.begin(), seen.end());
      EXPECT_EQ(seen, expected);
    }
  }
}

TEST(DataOrder, EpochsAndSeedsDiffer) {
  DataOrder order(3, 100), other(4, 100);
  EXPECT_NE(indices(order, 0, 100), indices(order, 100, 200));
  EXPECT_NE(indices(order, 0, 100), indices(order, 200, 300));
  EXPECT_NE(indices(order, 0, 100), indices(other, 0, 100));
}

// The shuffle as order.h defines it, written out once more.
TEST(DataOrder, IsTheShuffleItSaysItIs) {
  const uint64_t seed = 0x123456789abcdef0u;
  const uint32_t count = 11, epoch = 2;
  std::vector<int64_t> expected(count);
  std::iota(expected.begin(), expected.end(), 0);
  for (uint32_t k = 0; k < count - 1; ++k) {
    const uint32_t bits = philox4x32(seed, k / 4, epoch, 0, 4).v[k % 4];
    const uint32_t entry = count - 1 - k;
    std::swap(expected[entry], expected[static_cast<size_t>(uint64_t{bits} * (entry + 1) >> 32)]);
  }
  DataOrder order(seed, count);
  EXPECT_EQ(indices(order, epoch * count, (epoch + 1) * count), expected);
}

TEST(DataOrder, RandomAccessEqualsSequential) {
  DataOrder sequential(7, 50);
  const std::vector<int64_t> all = indices(sequential, 0, 500);
  DataOrder jumping(7, 50);
  for (int64_t i = 0; i < 500; ++i) {
    const int64_t position = i * 271 % 500;  // 271 and 500 share no factor: every position once, epochs interleaved
    EXPECT_EQ(jumping.index(position), all[static_cast<size_t>(position)]);
  }
}

// Where image 0 lands in 4000 epochs of 8: each place has expectation 500 and standard deviation sqrt(500 * 7/8) = 21.
TEST(DataOrder, PlacesAreUniform) {
  DataOrder order(11, 8);
  int landed[8] = {};
  for (int64_t position = 0; position < 32'000; ++position)
    if (order.index(position) == 0) ++landed[position % 8];
  for (const int times : landed) EXPECT_NEAR(times, 500, 5 * 21);
}

TEST(DataOrder, FlipsAreFairAndRepeatable) {
  const DataOrder order(5, 10);
  int flips = 0;
  for (int64_t position = 0; position < 10'000; ++position) {
    EXPECT_EQ(order.flip(position), order.flip(position));
    flips += order.flip(position);
  }
  EXPECT_NEAR(flips, 5000, 5 * 50);  // standard deviation 50
  // The upper half of a position counts too.
  int differs = 0;
  for (int64_t position = 0; position < 64; ++position)
    differs += order.flip(position) != order.flip(position + (int64_t{1} << 32));
  EXPECT_GT(differs, 0);
}

TEST(DataOrder, RefusesNonsense) {
  EXPECT_THROW(DataOrder(1, 0), Error);
  DataOrder order(1, 5);
  EXPECT_THROW(order.index(-1), Error);
}

}  // namespace
}  // namespace ito
