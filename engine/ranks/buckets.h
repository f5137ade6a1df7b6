// SPDX-License-Identifier: Apache-2.0
// Buckets: the pieces of the gradients' arena that ranks exchange while the backward of the last pass still makes the
// others. An arena is in name order and a backward in that of the ops, so that a bucket, which is one range of the
// arena, waits for the last of its tensors; where a few of them would hold up many others, it is cut. A plan alone: no
// device, no communication. It is a function of the network, the same on all ranks whatever passes they take.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/program/program.h"
#include "engine/ranks/subtrees.h"

namespace ito {

struct Bucket {
  IndexRange floats;  // of the arena: whole spans of the gradient norm (kNormSpan), but for the arena's end
  int last_op;        // a backward goes from the last op to the first: through this one, the bucket is complete
};

// Of every trainable float one bucket, in the order in which a backward completes them; each of at most `bytes`, or one
// span where that is more.
std::vector<Bucket> plan_buckets(const Program& program, int64_t bytes);

// The same of spans of which it is known how many ops a backward still has to go through when they are complete: the
// first span of each bucket, in order, and last the number of spans.
std::vector<int64_t> cut_spans(const std::vector<int>& ops_left, int ops, int64_t most_spans);

}  // namespace ito
