// SPDX-License-Identifier: Apache-2.0
// Items in a row, images say, that the ranks of a run share: each works on a run of its own, since an item's numbers
// depend on its index alone. Nothing is exchanged until the end, when the first rank has the results of all in the
// items' order; sums over them are made there, in that order, so that they have the bits of one process.
#pragma once
#include <type_traits>
#include <vector>

#include "engine/ranks/subtrees.h"
#include "kernels/seams/comm.h"

namespace ito {

class ItemShares {
 public:
  // All ranks make it with the same count. The ranks outlive it.
  ItemShares(Communicator& ranks, int64_t count);

  int64_t count() const { return count_; }
  const IndexRange& own() const { return own_; }  // begins at 0 on the first rank; empty where there are more ranks
  bool first_rank() const { return ranks_.rank() == 0; }
  // What this rank keeps of a result of all: the first rank all of it, and the others their own.
  IndexRange kept() const { return first_rank() ? IndexRange{0, count_} : own_; }

  // rows: so many values of each of this rank's items, the same number on all ranks; none are none of anybody. On the
  // first rank they become those of all items, on the others nothing. All ranks call it.
  template <class T>
  void collect(std::vector<T>& rows) const {
    static_assert(std::is_trivially_copyable_v<T>);
    const size_t width = own_.count ? rows.size() / static_cast<size_t>(own_.count) : 0;
    if (first_rank()) rows.resize(width * static_cast<size_t>(count_));
    for (int rank = 1; rank < ranks_.size(); ++rank) {
      const IndexRange share = share_of_rank(count_, ranks_.size(), rank);
      T* place = first_rank() ? rows.data() + static_cast<size_t>(share.first) * width : nullptr;
      transfer(rank, rows.data(), place, sizeof(T) * width * static_cast<size_t>(share.count));
    }
    if (!first_rank()) std::vector<T>().swap(rows);
  }

  // The same for what is larger than its use: on the first rank use(rows) is called with the rows of each other rank
  // in turn, and one rank's are there at a time. Its own it has used itself.
  template <class T, class Use>
  void pass_on(const std::vector<T>& rows, size_t width, const Use& use) const {
    static_assert(std::is_trivially_copyable_v<T>);
    std::vector<T> others;
    for (int rank = 1; rank < ranks_.size(); ++rank) {
      others.resize(first_rank() ? width * static_cast<size_t>(share_of_rank(count_, ranks_.size(), rank).count) : 0);
      transfer(rank, rows.data(), others.data(), sizeof(T) * (first_rank() ? others.size() : rows.size()));
      if (first_rank()) use(others);
    }
  }

 private:
  // From that rank's memory to the first rank's; of no concern to the others.
  void transfer(int rank, const void* from, void* to, size_t bytes) const;

  Communicator& ranks_;
  int64_t count_;
  IndexRange own_;
};

}  // namespace ito
