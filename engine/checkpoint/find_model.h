// SPDX-License-Identifier: Apache-2.0
// Where the parts of a model stand, in every layout that is about.
#pragma once
#include <string>

#include "engine/checkpoint/component.h"
#include "engine/diffusion/scheduler_config.h"

namespace ito {

struct ModelFiles {
  std::string directory;
  std::string folder;       // the component's; "" where the layout has none
  std::string config;       // paths of the files
  std::string weights;      // a safetensors file or the index of shards; "" if absent
  std::string scheduler;    // "" if absent
  std::string class_names;  // class_names.json; "" if absent
  std::string latents;      // latents.json; "" if absent
  std::string statistics;   // level_statistics.json; "" if absent
  std::string kernels;      // kernels.json; "" if absent
  std::string state;        // ito_state.safetensors; "" if absent
};

// path: a run's OUT (through `latest`; where that names nothing whole, the newest whole checkpoint), a checkpoint, a
// diffusers directory (flat, or with one of `folders`, the first that is there), or a bare component folder or
// config.json (then there are no weights or scheduler: "").
ModelFiles find_model(const std::string& path, const ComponentFolders& folders);

// One of the averages that a run keeps beside its model's weights, by name, in their place. UserError where it is none,
// with the names of those that are.
void take_average(ModelFiles& files, const std::string& name);

// Defaults where there is none, with a warning if there are weights. Warns of keys that are passed over.
SchedulerConfig read_scheduler(const ModelFiles& files);

}  // namespace ito
