// SPDX-License-Identifier: Apache-2.0
// From a name or a path to a model, whatever its architecture: its network, its configuration as JSON, and the place of
// its files.
#pragma once
#include <string>
#include <vector>

#include "engine/checkpoint/find_model.h"
#include "models/architecture.h"

namespace ito {

struct Model {
  const Architecture* architecture = nullptr;
  Configured configured;
  std::string path;                      // as it was asked for
  std::string where;                     // the configuration's file, or the model's name: begins messages
  ModelFiles files;                      // of a named model none
  std::vector<std::string> class_names;  // by label; empty: not known
  std::optional<LatentScale> latents;    // what it draws are another network's codes by this scale

  // height, width: 0 for what the configuration says; UserError where it says nothing.
  Network network(int height = 0, int width = 0) const;
  Component component() const;                       // as it was read
  Component component(int height, int width) const;  // stated to be for images of this size
  const std::string& weights_file() const;           // UserError where there is none
  // Of its file; where there is none, of its architecture, or else DDPMScheduler's defaults, with a word.
  SchedulerConfig scheduler() const;
};

// path: anything that find_model knows. "_class_name" of the configuration chooses the architecture; without one its
// telling key does, and a configuration of something else is refused by name. Warns of what it passes over, parts of a
// pipeline that are not run among it. among: for a program with architectures of its own.
Model read_model(const std::string& path, Architectures among = architectures());

// Architectures' configurations by name, in the order of the lists: "demo", ...
std::vector<std::string> named_models();
bool is_named_model(const std::string& name);
Model named_model(const std::string& name);  // UserError listing the names
// A named model has as many outputs as a learned variance needs; any other is what its configuration says.
Model with_variance_outputs(Model model);
Model model_of(const std::string& name_or_path);  // a name goes before a path

// UserError beginning with `where` unless the network answers with as many channels as variance_type asks.
void check_outputs(const Network& network, const SchedulerConfig& scheduler, const std::string& where);

// Folders of a diffusers directory that any of the architectures may stand in.
ComponentFolders component_folders(Architectures among = architectures());

}  // namespace ito
