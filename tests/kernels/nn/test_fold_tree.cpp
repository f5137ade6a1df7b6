// SPDX-License-Identifier: Apache-2.0
// The tree that every sum over images follows: its bits against the rule by recursion, its value against fp64, and that
// whoever holds whole subtrees of it, passes or ranks, gets the same bits.
#include "kernels/nn/fold_tree.h"

#include "kernels/sum_tree.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/sum_tree.h"

namespace ito::test {
namespace {

using Floats = std::vector<float>;

// Numbers over six decades, so that every order of a sum has bits of its own.
Values wide_values(size_t count, uint64_t seed) {
  Values values = random_values(count, seed);
  const Values decade = random_values(count, seed + 1000);
  for (size_t i = 0; i < count; ++i) values[i] *= std::pow(10.0, 1.5 * decade[i]);
  return stored<float>(values);
}

// The leaves that the kernel has to form: runs of rows, added in order.
std::vector<Floats> leaves_of(const Values& partial, int64_t rows, int rows_a_leaf, int64_t count) {
  std::vector<Floats> leaves;
  for (int64_t r = 0; r < rows; ++r) {
    if (r % rows_a_leaf == 0) leaves.emplace_back(count, 0.0f);
    for (int64_t i = 0; i < count; ++i) leaves.back()[i] += static_cast<float>(partial[r * count + i]);
  }
  return leaves;
}

Floats folded(Stream& stream, const float* partial, int64_t rows, int rows_a_leaf, int64_t count) {
  DeviceArray<float> out(stream, count);
  fold_tree(stream, out, partial, rows, rows_a_leaf, count);
  return out.raw();
}

size_t differing(const Floats& a, const Floats& b) {
  size_t n = 0;
  for (size_t i = 0; i < a.size(); ++i) n += std::memcmp(&a[i], &b[i], sizeof(float)) != 0;
  return n;
}

// An element passes a roundings in its leaf and one a level: (a + log2 leaves) u of the sum of magnitudes, which a left
// fold could not promise.
TEST(FoldTree, FollowsTheTree) {
  Stream stream;
  for (const int a : {1, 3, 4}) {
    for (const int64_t rows : {1, 2, 3, 4, 5, 7, 8, 9, 16, 23, 40, 64, 100}) {
      const int64_t count = rows == 7 ? 700 : rows == 9 ? 256 : 37;
      const Values partial = wide_values(rows * count, 3 * rows + a);
      DeviceArray<float> data(stream, partial);
      const Floats got = folded(stream, data, rows, a, count);
      EXPECT_EQ(differing(got, ref::tree_sum(leaves_of(partial, rows, a, count))), 0u) << rows << " rows, " << a;
      Values want(count, 0.0), size(count, 0.0);
      for (int64_t i = 0; i < rows * count; ++i)
        want[i % count] += partial[i], size[i % count] += std::fabs(partial[i]);
      const double levels = std::bit_width(static_cast<uint64_t>(ceil_div(rows, a) - 1));
      expect_close(join_text(rows, " rows"), Values(got.begin(), got.end()), want, 0, (a - 1 + levels) * kRoundFloat,
                   size);
    }
  }
}

// Arrays of one launch: few columns, whose leaves several teams of a block share, and many, which have blocks enough.
TEST(FoldTree, OfSeveralArraysAtOnce) {
  Stream stream;
  struct Folded {
    int64_t count;
    Values partial;
    DeviceArray<float> data, out;
    Folded(Stream& stream, int64_t rows, int64_t count, uint64_t seed)
        : count(count), partial(wide_values(rows * count, seed)), data(stream, partial), out(stream, count) {}
    void expect(int64_t rows, int a) const {
      EXPECT_EQ(differing(out.raw(), ref::tree_sum(leaves_of(partial, rows, a, count))), 0u) << rows << ", " << count;
    }
  };
  for (const int a : {1, 16}) {
    for (const int64_t rows : {1, 40, 300}) {
      Folded few(stream, rows, 70, rows), one(stream, rows, 1, rows + 1), many(stream, rows, 130, rows + 2);
      fold_trees(stream, {{few.out, few.data, few.count}, {one.out, one.data, 1}, {many.out, many.data, many.count}},
                 rows, a);
      few.expect(rows, a), one.expect(rows, a), many.expect(rows, a);
    }
  }
  Folded wide(stream, 3, 128 * 256 + 5, 1), narrow(stream, 3, 129, 2);
  fold_trees(stream, {{wide.out, wide.data, wide.count}, {narrow.out, narrow.data, narrow.count}}, 3, 1);
  wide.expect(3, 1), narrow.expect(3, 1);
  const FoldTask task{wide.out, wide.data, 1};
  EXPECT_THROW(fold_trees(stream, {task, task, task, task}, 1, 1), Error);
}

TEST(FoldTree, OfNothingIsZero) {
  Stream stream;
  DeviceArray<float> data(stream, 1);
  EXPECT_EQ(folded(stream, data, 0, 1, 3), Floats(3, 0.0f));
  EXPECT_EQ(folded(stream, data, 0, 4, 3), Floats(3, 0.0f));
  EXPECT_THROW(fold_tree(stream, data, data, 1, 0, 1), Error);
  EXPECT_THROW(fold_tree(stream, data, data, (int64_t{1} << kTreeLevels) + 1, 1, 0), Error);
}

// A rank holds a run of leaves and sends the largest complete subtrees of it; whoever has all of them joins them.
struct Piece {
  int64_t first, size;  // of the tree: the size is a power of two, and may reach past the last leaf
  Floats sum;
};

std::vector<Piece> pieces_of_rank(Stream& stream, const float* partial, int64_t leaves, int64_t count, int rank,
                                  int ranks) {
  std::vector<Piece> pieces;
  const int64_t end = leaves * (rank + 1) / ranks;
  for (int64_t first = leaves * rank / ranks, size; first < end; first += size) {
    size = 1;
    while (first % (2 * size) == 0 && (first + 2 * size <= end || (end == leaves && first + size < end))) size *= 2;
    const int64_t there = std::min(size, leaves - first);
    pieces.push_back({first, size, folded(stream, partial + first * count, there, 1, count)});
  }
  return pieces;
}

Floats join(const std::vector<Piece>& pieces, int64_t first, int64_t size, int64_t leaves) {
  for (const Piece& piece : pieces)
    if (piece.first == first && piece.size == size) return piece.sum;
  Floats left = join(pieces, first, size / 2, leaves);
  if (first + size / 2 >= leaves) return left;
  const Floats right = join(pieces, first + size / 2, size / 2, leaves);
  for (size_t i = 0; i < left.size(); ++i) left[i] += right[i];
  return left;
}

TEST(FoldTree, AnyNumberOfRanksGivesTheSameBits) {
  Stream stream;
  constexpr int64_t count = 64;
  for (const int64_t leaves : {8, 13, 16, 37, 64}) {
    const Values partial = wide_values(leaves * count, 90 + leaves);
    DeviceArray<float> data(stream, partial);
    const Floats whole = folded(stream, data, leaves, 1, count);
    const auto padded = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(leaves)));
    size_t chained = 0;  // elements whose bits a sum of the ranks' own sums would change
    for (int ranks = 1; ranks <= 16; ++ranks) {
      std::vector<Piece> all;
      Floats chain;
      for (int rank = 0; rank < ranks; ++rank) {
        std::vector<Piece> sent = pieces_of_rank(stream, data, leaves, count, rank, ranks);
        EXPECT_LE(sent.size(), 2u * std::bit_width(static_cast<uint64_t>(leaves)));
        const int64_t first = leaves * rank / ranks, end = leaves * (rank + 1) / ranks;
        const Floats own = folded(stream, data + first * count, end - first, 1, count);
        if (chain.empty())
          chain = own;
        else
          for (size_t i = 0; i < own.size(); ++i) chain[i] += own[i];
        all.insert(all.end(), sent.begin(), sent.end());
      }
      EXPECT_EQ(differing(join(all, 0, padded, leaves), whole), 0u) << leaves << " leaves, " << ranks << " ranks";
      chained += differing(chain, whole);
    }
    EXPECT_GT(chained, 16 * count / 4) << leaves << " leaves: these numbers do not tell a chain from the tree";
  }
}

// The order in words, from arrivals of subtrees in slots.
std::string joined_by_arrivals(int64_t count, int* slots) {
  std::vector<std::string> slot(64);
  *slots = 0;
  for (int64_t number = 0; number < count; ++number) {
    const TreeArrival arrival = tree_arrival(number, count);
    *slots = std::max(*slots, arrival.slot + 1);
    slot[arrival.slot] = std::to_string(number);
    for (int s = arrival.slot; s > arrival.slot - arrival.joins; --s)
      slot[s - 1] = "(" + slot[s - 1] + " + " + slot[s] + ")";
  }
  return slot[0];
}

std::string tree_in_words(int64_t first, int64_t size, int64_t count) {
  if (size == 1) return std::to_string(first);
  const std::string left = tree_in_words(first, size / 2, count);
  return first + size / 2 >= count ? left : "(" + left + " + " + tree_in_words(first + size / 2, size / 2, count) + ")";
}

TEST(TreeArrival, JoinsInTheOrderOfTheTree) {
  int slots = 0;
  EXPECT_EQ(joined_by_arrivals(7, &slots), "(((0 + 1) + (2 + 3)) + ((4 + 5) + 6))");
  EXPECT_EQ(slots, 3);
  for (int64_t count = 1; count <= 300; ++count) {
    const auto padded = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(count)));
    ASSERT_EQ(joined_by_arrivals(count, &slots), tree_in_words(0, padded, count));
    ASSERT_EQ(slots, tree_slots(count)) << count;
  }
}

}  // namespace
}  // namespace ito::test
