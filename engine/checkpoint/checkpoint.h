// SPDX-License-Identifier: Apache-2.0
// Models on disk: a diffusers directory (model_index.json, unet/, scheduler/), read in every layout that is about and
// written in one. A training checkpoint is such a directory, unet/ holding the EMA weights, plus ito_state.safetensors
// with what training goes on from. OUT/checkpoint-<step>/ are the checkpoints of a run, OUT/latest names the newest.
#pragma once
#include <string>
#include <vector>

#include "engine/diffusion/scheduler_config.h"
#include "engine/io/json_file.h"
#include "engine/io/safetensors.h"
#include "engine/program/parameters.h"
#include "kernels/optim/train_state.h"

namespace ito {

inline constexpr const char* kWeightsFile = "diffusion_pytorch_model.safetensors";
inline constexpr const char* kTrainingStateFile = "ito_state.safetensors";

// Where the parts of a model were found. path: a run's OUT (through `latest`; where that names nothing whole, the
// newest whole checkpoint), a checkpoint, a diffusers directory (flat or with component folders), or a bare unet/
// folder or config.json (then there are no weights or scheduler: "").
struct ModelFiles {
  std::string directory;
  std::string unet_config;  // paths of the files
  std::string weights;      // "" if absent
  std::string scheduler;    // "" if absent
  std::string state;        // ito_state.safetensors; "" if absent
};
ModelFiles find_model(const std::string& path);

SchedulerConfig read_scheduler(const ModelFiles& files, std::vector<std::string>* warnings);

// The whole arena from a safetensors file; names before the attention refactor (query, key, value, proj_attn) are
// accepted. Missing tensors and wrong shapes are refused; surplus ones too, by name.
std::vector<float> read_weights(const std::string& path, const ParameterLayout& layout);
void write_weights(const std::string& path, const ParameterLayout& layout, const std::vector<float>& arena);

// What training goes on from, besides the EMA weights.
struct TrainingSnapshot {
  TrainState state{};
  uint64_t seed = 0;
  uint64_t configuration_hash = 0;                          // of what else the numbers depend on; 0: not known
  uint64_t data_fingerprint = 0;                            // Dataset::fingerprint()
  std::string kernels;                                      // what it was computed with, in words; printable ASCII
  std::vector<float> weights, first_moment, second_moment;  // arenas
};
void write_snapshot(const std::string& path, const ParameterLayout& layout, const TrainingSnapshot& snapshot);
TrainingSnapshot read_snapshot(const std::string& path, const ParameterLayout& layout);
std::string read_kernels(const SafetensorsFile& state);  // the snapshot's `kernels` alone

// Memory of the host that writing a checkpoint takes at most: the snapshot's arenas, the EMA weights, and what is put
// into the file's layout.
size_t checkpoint_copy_bytes(const ParameterLayout& layout);

// Writes the directory whole or not at all, every file on the disk before it has its name; an existing one of that name
// is replaced. snapshot null: a plain model.
void write_model(const std::string& directory, const Json& unet_config, const SchedulerConfig& scheduler,
                 const ParameterLayout& layout, const std::vector<float>& unet_weights,
                 const TrainingSnapshot* snapshot);

std::string checkpoint_name(int64_t step);                           // checkpoint-000600
void write_latest(const std::string& out, const std::string& name);  // OUT/latest

}  // namespace ito
