// SPDX-License-Identifier: Apache-2.0
// --guidance W, --guidance-interval A:B and --guide PATH: a model's answers led away from those without a class, or
// from those of a worse model, wherever its network is asked.
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "engine/io/json_file.h"
#include "models/model_on_device.h"

namespace ito {

struct GuidanceFlags {
  std::string weight, interval, guide;
};

void add_guidance_flags(CLI::App& command, GuidanceFlags& flags);
void check_guidance(const GuidanceFlags& flags);  // what needs no model; UserError
// The model, guided as the flags say, or as it is. After its scheduler is final: an interval may be of sigmas.
ModelOnDevice with_guidance(ModelOnDevice model, const GuidanceFlags& flags);
// For reports and for what earlier results are held against: the flags by name; {} without guidance.
Json guidance_json(const GuidanceFlags& flags);

}  // namespace ito
