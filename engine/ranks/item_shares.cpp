// SPDX-License-Identifier: Apache-2.0
// See item_shares.h.
#include "engine/ranks/item_shares.h"

namespace ito {

ItemShares::ItemShares(Communicator& ranks, int64_t count)
    : ranks_(ranks), count_(count), own_(share_of_rank(count, ranks.size(), ranks.rank())) {}

void ItemShares::transfer(int rank, const void* from, void* to, size_t bytes) const {
  if (bytes == 0) return;
  const Send send{0, from, bytes};
  const Receive receive{rank, to, bytes};
  if (ranks_.rank() == rank) ranks_.exchange_on_host({&send, 1}, {});
  if (first_rank()) ranks_.exchange_on_host({}, {&receive, 1});
}

}  // namespace ito
