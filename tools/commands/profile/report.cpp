// SPDX-License-Identifier: Apache-2.0
// See report.h. A sum's rates come from the launches that have a cost: fills and reductions beside them have none.
#include "tools/commands/profile/report.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>

namespace ito {
namespace {

struct Sum {
  std::string name, pass, op;
  int launches = 0;
  double seconds = 0;
  Cost cost;
};

using Key = std::pair<std::string, std::string>;  // name, pass

std::vector<Sum> sums(const std::vector<ProfiledLaunch>& launches, bool by_layer) {
  std::map<Key, Sum> all;
  for (const ProfiledLaunch& launch : launches) {
    const std::string& name = by_layer ? launch.layer : launch.kernel;
    Sum& sum = all[{name, launch.pass}];
    sum.name = name;
    sum.pass = launch.pass;
    sum.op = by_layer ? launch.op : "";
    ++sum.launches;
    sum.seconds += launch.seconds;
    sum.cost += launch.cost;
  }
  std::vector<Sum> rows;
  for (auto& [key, sum] : all) rows.push_back(std::move(sum));
  std::stable_sort(rows.begin(), rows.end(), [](const Sum& a, const Sum& b) { return a.seconds > b.seconds; });
  return rows;
}

double launched_seconds(const StepProfile& profile) {
  double seconds = 0;
  for (const ProfiledLaunch& launch : profile.launches) seconds += launch.seconds;
  return seconds;
}

Json sums_json(const StepProfile& profile, bool by_layer) {
  const double all = launched_seconds(profile);
  Json rows = Json::array();
  for (const Sum& s : sums(profile.launches, by_layer)) {
    Json row{{by_layer ? "layer" : "kernel", s.name},
             {"pass", s.pass},
             {"launches", s.launches},
             {"seconds", s.seconds},
             {"share", all > 0 ? s.seconds / all : 0}};
    if (by_layer) row["op"] = s.op;
    if (s.cost.bytes > 0 && s.seconds > 0)
      row.update({{"flop", s.cost.flop},
                  {"bytes", s.cost.bytes},
                  {"flop_per_second", s.cost.flop / s.seconds},
                  {"bytes_per_second", s.cost.bytes / s.seconds},
                  {"of_roofline", profile.roofline.least_seconds(s.cost.flop, s.cost.bytes) / s.seconds}});
    rows.push_back(std::move(row));
  }
  return rows;
}

void print_table(const StepProfile& profile, bool by_layer, int most) {
  const double all = launched_seconds(profile);
  std::printf("\n%-44s %-8s %8s %10s %6s %9s %9s %9s %9s %8s\n", by_layer ? "layer" : "kernel", "pass", "launches",
              "ms", "share", "GFLOP", "MB", "GB/s", "TFLOP/s", "roofline");
  int shown = 0;
  const std::vector<Sum> rows = sums(profile.launches, by_layer);
  for (const Sum& s : rows) {
    if (most && shown++ >= most) {
      std::printf("... and %zu more\n", rows.size() - static_cast<size_t>(most));
      break;
    }
    std::printf("%-44s %-8s %8d %10.3f %5.1f%%", s.name.c_str(), s.pass.c_str(), s.launches, 1e3 * s.seconds,
                100 * s.seconds / all);
    if (s.cost.bytes > 0 && s.seconds > 0)
      std::printf(" %9.3f %9.2f %9.2f %9.3f %8.3f", 1e-9 * s.cost.flop, 1e-6 * s.cost.bytes,
                  1e-9 * s.cost.bytes / s.seconds, 1e-12 * s.cost.flop / s.seconds,
                  profile.roofline.least_seconds(s.cost.flop, s.cost.bytes) / s.seconds);
    std::printf("\n");
  }
}

double mfu(const StepProfile& p) {
  return p.network.flop / p.roofline.flop_per_second / p.step_seconds;
}

}  // namespace

Json profile_json(const StepProfile& p) {
  Json all = machine();
  all.update({{"what", p.what},
              {"model", p.model},
              {"batch", p.batch},
              {"precision", p.precision},
              {"steps", p.steps},
              {"step_seconds", p.step_seconds},
              {"launched_seconds", launched_seconds(p)},
              {"network_flop", p.network.flop},
              {"network_bytes", p.network.bytes},
              {"mfu", mfu(p)},
              {"roofline", p.roofline.json()}});
  if (p.loader_seconds >= 0)
    all.update({{"loader_seconds", p.loader_seconds},
                {"loader_share", p.loader_seconds / (p.loader_seconds + p.step_seconds)}});
  all["kernels_timed"] = sums_json(p, false);
  all["layers"] = sums_json(p, true);
  return all;
}

void print_profile(const StepProfile& p, int rows) {
  std::printf("%s of %s, batch %d, %s, on %s: %.3f ms a step, %.2f GFLOP, %.3f TFLOP/s: %.3f of a product's rate\n",
              p.what.c_str(), p.model.c_str(), p.batch, p.precision.c_str(), device_name(), 1e3 * p.step_seconds,
              1e-9 * p.network.flop, 1e-12 * p.network.flop / p.step_seconds, mfu(p));
  if (p.loader_seconds >= 0)
    std::printf("making a batch on the host: %.3f ms, %.1f %% of batch and step\n", 1e3 * p.loader_seconds,
                100 * p.loader_seconds / (p.loader_seconds + p.step_seconds));
  std::printf("roofline, measured in this run: %.2f GB/s copied, %.3f TFLOP/s of a product\n",
              1e-9 * p.roofline.bytes_per_second, 1e-12 * p.roofline.flop_per_second);
  std::printf("launch by launch %.3f ms (medians of %d steps), %zu launches\n", 1e3 * launched_seconds(p), p.steps,
              p.launches.size());
  print_table(p, false, rows);
  print_table(p, true, rows);
}

Json graph_nodes_json(const std::vector<ProfiledLaunch>& launches) {
  Json nodes = Json::array();
  for (const ProfiledLaunch& launch : launches)
    for (size_t node = launch.first_node; node < launch.end_node; ++node) {
      Json line{
          {"node", node}, {"layer", launch.layer}, {"op", launch.op}, {"pass", launch.pass}, {"kernel", launch.kernel}};
      // Of a launch of several kernels the first carries its cost, so that a sum over nodes is the step's.
      line["flop"] = node == launch.first_node ? launch.cost.flop : 0;
      line["bytes"] = node == launch.first_node ? launch.cost.bytes : 0;
      nodes.push_back(std::move(line));
    }
  return {{"nodes", nodes}};
}

}  // namespace ito
