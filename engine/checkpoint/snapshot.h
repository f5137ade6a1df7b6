// SPDX-License-Identifier: Apache-2.0
// What training goes on from, besides the EMA weights: the file ito_state.safetensors of a training checkpoint.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/diffusion/level_losses.h"
#include "engine/io/safetensors.h"
#include "engine/program/parameters.h"
#include "kernels/optim/train_state.h"
#include "kernels/seams/kernel_table.h"

namespace ito {

class Communicator;

// A further average of the weights, a file of its own beside the first one's.
struct KeptAverage {
  std::string name;  // engine/training/ema_list.h
  ArenaPart weights;
};

struct TrainingSnapshot {
  TrainState state{};
  uint64_t seed = 0;
  uint64_t configuration_hash = 0;                 // of what else the numbers depend on; 0: not known
  uint64_t data_fingerprint = 0;                   // Dataset::fingerprint()
  std::string kernels;                             // what it was computed with, in words; printable ASCII
  KernelTable kernel_table;                        // what its layers were run by; a file of its own
  LevelLosses level_losses;                        // of a draw of levels that follows them
  ArenaPart weights, first_moment, second_moment;  // whole arenas, but of several ranks their parts
  std::vector<KeptAverage> averages;               // likewise; none of the state's file
};
// ranks: as write_weights has them.
void write_snapshot(const std::string& path, const ParameterLayout& layout, const TrainingSnapshot& snapshot,
                    Communicator* ranks = nullptr);
TrainingSnapshot read_snapshot(const std::string& path, const ParameterLayout& layout);
std::string read_kernels(const SafetensorsFile& state);  // the snapshot's `kernels` alone

// Memory of the host that writing a checkpoint takes at most: the snapshot's arenas, the EMA weights, and what is put
// into the file's layout; of so many ranks' parts.
size_t checkpoint_copy_bytes(const ParameterLayout& layout, int ranks = 1, int emas = 1);

}  // namespace ito
