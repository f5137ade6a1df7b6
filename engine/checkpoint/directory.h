// SPDX-License-Identifier: Apache-2.0
// Writing a model: a diffusers directory (model_index.json, the component's folder, scheduler/). A training checkpoint
// is such a directory, its component holding the EMA weights (and beside them any further averages), plus
// ito_state.safetensors with what training goes on from. level_statistics.json holds what was measured of the network
// by timestep (engine/diffusion/level_statistics.h). kernels.json says which kernels its layers were run by, where a
// device leaves a choice (engine/checkpoint/kernel_table_file.h). class_names.json says what its classes are called,
// where that is known; latents.json by which scale it was given another network's codes (engine/data/latent_scale.h).
// OUT/checkpoint-<step>/ are the checkpoints of a run, OUT/latest names the newest.
#pragma once
#include <string>
#include <vector>

#include "engine/checkpoint/component.h"
#include "engine/checkpoint/snapshot.h"
#include "engine/diffusion/level_statistics.h"
#include "engine/diffusion/scheduler_config.h"

namespace ito {

// Writes the directory whole or not at all, every file on the disk before it has its name; an existing one of that name
// is replaced. weights: an arena; a layout without tensors has no file of them. snapshot null: a plain model.
// statistics null: none were measured.
// With ranks all of them call it, each with its part of the arenas; the first writes all else. What fails on one of
// them is thrown on all, or leaves the others waiting for the process's end.
void write_model(const std::string& directory, const Component& component, const SchedulerConfig& scheduler,
                 const ParameterLayout& layout, const std::vector<float>& weights, const TrainingSnapshot* snapshot,
                 const LevelStatistics* statistics = nullptr);
void write_model(const std::string& directory, const Component& component, const SchedulerConfig& scheduler,
                 const ParameterLayout& layout, const ArenaPart& weights, const TrainingSnapshot* snapshot,
                 const LevelStatistics* statistics, Communicator* ranks);

void write_latest(const std::string& out, const std::string& name);  // OUT/latest

}  // namespace ito
