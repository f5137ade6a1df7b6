// SPDX-License-Identifier: Apache-2.0
// What `ito profile` shows: launches summed by kernel and by layer, beside what the device reaches at best.
#pragma once
#include "tools/commands/bench/ceilings.h"
#include "tools/commands/profile/launches.h"

namespace ito {

struct StepProfile {
  std::string what, model, precision;
  int batch = 0, steps = 0;
  std::vector<ProfiledLaunch> launches = {};  // of one step
  double step_seconds = 0;                    // the median of steps as they usually run, captured
  double loader_seconds = -1;                 // of making a batch on the host; below 0: no data was given
  Cost network = {};
  Roofline roofline = {};
};

Json profile_json(const StepProfile& profile);
void print_profile(const StepProfile& profile, int rows);  // rows: of each table; 0: all

// graph-nodes.json: what each node of the captured step, or row of the reverse loop, is.
Json graph_nodes_json(const std::vector<ProfiledLaunch>& launches);

}  // namespace ito
