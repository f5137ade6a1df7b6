// SPDX-License-Identifier: Apache-2.0
// JSON files that people give in the place of another: each is told by what it holds.
#pragma once

#include <string>

#include "engine/io/json_file.h"

namespace ito {

// "the options of a training run; ..." of an object that is a configuration of something that is not read here, else
// "".
std::string foreign_config(const Json& object);

// UserError unless the object can be a scheduler's configuration: one of a class that is a scheduler, or, from before
// classes were written, one with a noise schedule's keys.
void check_is_scheduler(const Json& object, const std::string& path);

// UserError if a folder holds an adapter, a few tensors that change a model, and no model.
void check_no_adapter(const std::string& folder);

}  // namespace ito
