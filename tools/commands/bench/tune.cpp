// SPDX-License-Identifier: Apache-2.0
// ito bench --tune: every kernel that a layer of the model could take is tried, for its values and for its bits alone
// and among others, and timed if it passes; the fastest of each layer make a kernel table. Only here are kernels timed:
// a run obeys a table, and never looks again.
#include <cstdio>
#include <set>

#include "engine/checkpoint/kernel_table_file.h"
#include "engine/io/input_file.h"
#include "engine/program/compute_type.h"
#include "engine/program/network.h"
#include "models/model.h"
#include "tools/commands/bench/options.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

// What each layer could take, once a layer's shape.
std::vector<KernelTiming> time_layers(const Program& program) {
  std::vector<KernelTiming> all;
  std::set<std::string> seen;
  for (const auto& op : program.ops()) {
    bool known = true;
    for (const auto& [key, name] : op->choices()) known &= seen.contains(key);
    if (known) continue;
    for (KernelTiming& timing : op->time_choices())
      if (!seen.contains(timing.key)) all.push_back(std::move(timing));
    for (const KernelTiming& timing : all) seen.insert(timing.key);
  }
  return all;
}

Json json_of_timing(const KernelTiming& timing) {
  Json row = {{"layer", timing.key}, {"kernel", timing.name}};
  if (timing.trouble.empty())
    row["seconds"] = timing.seconds;
  else
    row["refused"] = timing.trouble;
  return row;
}

}  // namespace

void tune_kernels(const BenchOptions& o) {
  const Network network = model_of(o.model).network(o.size, o.size);
  Program program({o.batch, Mode::Training, compute_type_of(o.precision, "--precision")});
  plan_network(program, network);
  KernelTable table{.source = o.tune, .device = device_name()};
  table.choices = program.kernel_choices();
  ITO_USER_CHECK(!table.choices.empty(), "--tune: ", device_name(),
                 " leaves no choice of kernels; tune on the card that the table is for");
  const std::vector<KernelTiming> timings = time_layers(program);
  std::map<std::string, double> best;
  Json rows = Json::array();
  for (const KernelTiming& timing : timings) {
    rows.push_back(json_of_timing(timing));
    if (!timing.trouble.empty()) continue;
    const auto [at, first] = best.try_emplace(timing.key, timing.seconds);
    if (!first && timing.seconds >= at->second) continue;
    at->second = timing.seconds;
    table.choices[timing.key] = timing.name;
  }
  write_json_file(o.tune, json_of(table));
  if (o.json) return print_json({{"device", table.device}, {"batch", o.batch}, {"table", o.tune}, {"kernels", rows}});
  for (const KernelTiming& timing : timings) {
    const bool chosen = table.choices.at(timing.key) == timing.name;
    const std::string time =
        timing.trouble.empty() ? join_text(timing.seconds * 1e6, " us") : "refused: " + timing.trouble;
    print_result(join_text(chosen ? "* " : "  ", timing.key, "  ", timing.name, "  ", time));
  }
  print_result(join_text(table.choices.size(), " layers; table ", o.tune, ", hash ", hash_of(table)));
}

}  // namespace ito
