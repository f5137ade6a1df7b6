// SPDX-License-Identifier: Apache-2.0
// See launches.h.
#include "tools/commands/profile/launches.h"

#include <algorithm>
#include <map>

#include "kernels/error.h"

namespace ito {
namespace {

std::map<std::string, int> ops_by_name(const Program& program) {
  std::map<std::string, int> ops;
  for (size_t i = 0; i < program.ops().size(); ++i) ops[program.ops()[i]->name] = static_cast<int>(i);
  return ops;
}

bool is_pass(const std::string& name) {
  return name == "forward" || name == "backward";
}

}  // namespace

std::vector<ProfiledLaunch> launches_of(const std::vector<TimelineEvent>& events, const Program& program) {
  const std::map<std::string, int> ops = ops_by_name(program);
  std::vector<ProfiledLaunch> launches;
  std::map<int, size_t> ended_depth;  // of a thread's last range: one deeper than this one was inside it
  for (const TimelineEvent& event : events) {
    const auto last = ended_depth.find(event.thread);
    const bool encloses = last != ended_depth.end() && last->second > event.inside.size();
    ended_depth[event.thread] = event.inside.size();
    if (encloses || is_pass(event.name)) continue;
    const auto pass = std::find_if(event.inside.begin(), event.inside.end(), is_pass);
    ProfiledLaunch launch{.kernel = event.name, .pass = "step", .layer = "-", .op = "-"};
    if (pass != event.inside.end()) {
      launch.pass = *pass;
      const auto op = pass + 1 == event.inside.end() ? ops.end() : ops.find(*(pass + 1));
      if (op == ops.end() && ops.count(event.name)) continue;  // a layer that launches nothing
      if (op != ops.end()) {
        launch.layer = op->first;
        launch.op = program.ops()[op->second]->kind();
      }
    }
    // Some launches say their layer in their name, packing the weights outside of any layer's range too.
    const size_t space = event.name.find(' ');
    const auto named = space == std::string::npos ? ops.end() : ops.find(event.name.substr(0, space));
    if (named != ops.end()) {
      launch.layer = named->first;
      launch.op = program.ops()[named->second]->kind();
      launch.kernel = launch.op + event.name.substr(space);
    }
    launch.seconds = 1e-6 * event.duration_us;
    launch.first_node = event.first_node;
    launch.end_node = event.end_node;
    launches.push_back(std::move(launch));
  }
  return launches;
}

std::vector<ProfiledLaunch> median_launches(const std::vector<std::vector<ProfiledLaunch>>& steps) {
  std::vector<ProfiledLaunch> launches = steps.at(0);
  for (size_t i = 0; i < launches.size(); ++i) {
    std::vector<double> times;
    for (const std::vector<ProfiledLaunch>& step : steps) {
      ITO_CHECK(
          step.size() == launches.size() && step[i].kernel == launches[i].kernel && step[i].layer == launches[i].layer,
          "profile: two steps launched different things; step of ", step.size(), " and of ", launches.size(),
          " launches");
      times.push_back(step[i].seconds);
    }
    std::nth_element(times.begin(), times.begin() + static_cast<ptrdiff_t>(times.size() / 2), times.end());
    launches[i].seconds = times[times.size() / 2];
  }
  return launches;
}

void attribute_costs(std::vector<ProfiledLaunch>& launches, const Program& program) {
  std::map<std::pair<int, Part>, ProfiledLaunch*> longest;
  const std::map<std::string, int> ops = ops_by_name(program);
  for (ProfiledLaunch& launch : launches) {
    const auto op = ops.find(launch.layer);
    if (op == ops.end() || launch.pass == "step") continue;
    Part part = launch.pass == "forward" ? Part::Forward : Part::Data;
    if (part == Part::Data && has_weight_part(*program.ops()[op->second]) &&
        launch.kernel.find("weight") != std::string::npos)
      part = Part::Weight;
    ProfiledLaunch*& slot = longest[{op->second, part}];
    if (!slot || slot->seconds < launch.seconds) slot = &launch;
  }
  for (const auto& [key, launch] : longest) launch->cost = cost_of(program, key.first, key.second);
}

}  // namespace ito
