// SPDX-License-Identifier: Apache-2.0
// What the ranks of a run have to have alike before any of them writes: one program, one kind of card, the same
// kernels, the same data, the same options. Different ones would give numbers that are no run's.
#pragma once
#include <string>
#include <vector>

#include "kernels/seams/comm.h"

namespace ito {

struct RankFact {
  std::string name;   // "data"
  std::string value;  // a line
};

// All ranks call it, with facts of the same names. Waits for them as Communicator::meet does. UserError, on all, that
// tells of the first fact in which they differ who has what.
void check_ranks_agree(Communicator& ranks, const std::vector<RankFact>& facts);

// Of this process: its program's file, by its bytes, and its device.
std::vector<RankFact> facts_of_process();

// Worker threads for this rank where nothing else is said: the cores that it may use, shared by the ranks of this host
// that may use the same ones. All ranks call it.
int cores_of_rank(Communicator& ranks);

// Of memory that is free on the device, what this rank may plan with: where it is the host's, an equal share.
size_t memory_of_rank(Communicator& ranks, size_t free);

// A signal, say, that reached any of the ranks: the first number of all, by rank, that is not 0. All ranks call it,
// with 0 to 127.
int of_any_rank(Communicator& ranks, int own);

}  // namespace ito
