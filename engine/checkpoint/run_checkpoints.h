// SPDX-License-Identifier: Apache-2.0
// The checkpoints of a run's folder: which is the newest that is whole, which are to go, what a killed run left behind.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "engine/checkpoint/component.h"

namespace ito {

struct FoundCheckpoint {
  int64_t step = 0;
  std::string path;
};

// Whether a folder holds a model that can be read: in one of `folders` its configuration, and weights whose file is as
// long as it says.
bool is_whole_model(const std::string& directory, const ComponentFolders& folders);
// The newest checkpoint-<step> of `out` that training can go on from, whatever `latest` says.
std::optional<FoundCheckpoint> newest_checkpoint(const std::string& out, const ComponentFolders& folders);

// Of the checkpoints up to step `newest`, which stays whatever is asked for, the last keep_last stay (0: all of them)
// and those whose step is a multiple of keep_every (0: none).
void prune_checkpoints(const std::string& out, int64_t newest, int64_t keep_last, int64_t keep_every);

// Removes what a run of ours writes and then renames: checkpoint-*.partial*, config.json.partial-* and so on. Other
// files with `.partial` in their names stay.
void remove_leftovers(const std::string& out);

}  // namespace ito
