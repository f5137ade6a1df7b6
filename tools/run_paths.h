// SPDX-License-Identifier: Apache-2.0
// Where the files and folders of a run stand to each other and to the directory that a command is started in.
#pragma once
#include <string>
#include <vector>

#include "engine/run/run_config.h"
#include "models/model.h"

namespace ito {

// Whether `path`, which need not exist, is the folder or lies below it, symbolic links followed.
bool is_inside(const std::string& path, const std::string& folder);

// UserError where the run's folder would be part of its data: its pictures and checkpoints would be read as images and
// classes.
void check_out_is_apart(const RunConfig& run);
// The same of a model that is read from a folder, which would become a run's, or vanish when a run prunes checkpoints.
void check_out_is_apart(const RunConfig& run, const Model& model);

// A resumed run's `keys` were read from its `config_file`, whose relative names hold from the directory where the run
// was last started. The names are made good for this one; UserError that tells where a name came from if nothing is
// there, unless the run has a checkpoint, which holds its model and its scheduler.
void find_named_files(RunConfig& run, const std::string& config_file, const std::vector<std::string>& keys);

}  // namespace ito
