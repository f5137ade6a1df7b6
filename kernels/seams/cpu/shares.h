// SPDX-License-Identifier: Apache-2.0
// How a launch's work is divided among workers: each has a contiguous share, which it takes a piece at a time, and then
// what is left of the others'. So a core keeps to the images it had in the last launch, and none waits for one that is
// slower or was taken away. Who does a piece changes no bit: pieces depend on nothing but their numbers.
#pragma once
#include <cstdint>
#include <functional>

namespace ito::cpu {

// f(piece, worker) for pieces [0, pieces), on so many threads. Throws what f threw first, once all are done.
void for_pieces(int64_t pieces, int threads, const std::function<void(int64_t, int)>& f);

}  // namespace ito::cpu
