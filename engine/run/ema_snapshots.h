// SPDX-License-Identifier: Apache-2.0
// Averages by power functions, kept as a run goes: OUT/ema-<step>/sigma-rel-<width>.safetensors, fp32, from which an
// average of any width is made afterwards (engine/training/power_ema.h). fp32 because the sum's coefficients are large
// and of both signs, so that a bf16's rounding would come back many times over. Each file says in its metadata
// `sigma_rel` and `updates`, the number of updates that it is an average over.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/program/parameters.h"
#include "kernels/seams/comm.h"

namespace ito {

struct SnapshotAverage {
  double sigma_rel = 0;
  ArenaPart weights;  // whole, or of several ranks this one's part
};

// The folder appears whole. With ranks all of them call it; null: this process alone.
void write_ema_snapshot(const std::string& out, int64_t step, int64_t updates, const ParameterLayout& layout,
                        const std::vector<SnapshotAverage>& averages, Communicator* ranks);

struct FoundAverage {
  std::string path;
  int64_t step = 0, updates = 0;
  double sigma_rel = 0;
};

// Those of a run's folder, by step and then width. UserError where a file does not say what it is an average of.
std::vector<FoundAverage> find_ema_snapshots(const std::string& out);
void remove_ema_snapshots_past(const std::string& out, int64_t step);

}  // namespace ito
