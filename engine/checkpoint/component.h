// SPDX-License-Identifier: Apache-2.0
// The network's part of a diffusers directory. Which architecture it is, is a matter of models/: here it is a folder, a
// class name and a configuration that is written as it is given.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/data/latent_scale.h"
#include "engine/io/json_file.h"

namespace ito {

struct Component {
  std::string folder;                    // beside scheduler/, and its key in model_index.json
  std::string class_name;                // in model_index.json, as one of `library`
  Json config;                           // FOLDER/config.json
  std::vector<std::string> class_names;  // by label, of a network with classes; empty: not known
  std::string library = "diffusers";
  std::optional<LatentScale> latents = std::nullopt;      // of a network of another one's codes
  std::vector<std::pair<std::string, Json>> beside = {};  // further files of the directory: where a model came from
};

// Folders that a network may stand in: of one component, or of all architectures that can be read.
using ComponentFolders = std::vector<std::string>;

}  // namespace ito
