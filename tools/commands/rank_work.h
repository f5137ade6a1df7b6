// SPDX-License-Identifier: Apache-2.0
// What commands have in common whose items are shared by the ranks that mpirun started (engine/ranks/item_shares.h):
// their threads, what the ranks must have alike before any of them works, and what the first one says of its progress.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/ranks/agreement.h"
#include "engine/ranks/item_shares.h"
#include "models/model_on_device.h"

namespace ito {

// given: --threads; where it is 0, several ranks share the cores.
void set_threads_of_rank(Communicator& ranks, int given);
// Threads that fetch and decode images, beside those: as many, of the cores that this process may use.
int loading_threads(int given);

RankFact labels_fact(const std::vector<float>& values);  // real-valued ones
// The bytes of a file that the numbers depend on; "" for none.
RankFact file_fact(const std::string& flag, const std::string& path);
RankFact data_fact(const Dataset& data);

// One program, the same options but --threads, one model, and what more there is. UserError, on all, if not. All ranks
// call it; nothing is compared, or made for it, where there is one.
void check_ranks_alike(Communicator& ranks, const CLI::App& command, const ModelOnDevice& model,
                       const std::vector<RankFact>& more = {});

// "sampling", or with what part of the work it is: the first rank tells of its own.
std::string title_of_rank(const std::string& title, const Communicator& ranks);

}  // namespace ito
