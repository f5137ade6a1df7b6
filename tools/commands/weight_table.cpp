// SPDX-License-Identifier: Apache-2.0
// See weight_table.h.
#include "tools/commands/weight_table.h"

#include <cstdio>
#include <string>

#include "engine/diffusion/forward_rows.h"
#include "kernels/error.h"
#include "tools/terminal/results.h"

namespace ito {

void print_weight_table(const NoiseSchedule& schedule, const LossWeighting& weighting, const LevelDrawChoice& draw,
                        bool json) {
  const Levels levels(schedule);
  const Reading reading = Reading::of(schedule.config());
  const std::vector<ForwardRow> rows = forward_rows(levels, reading, weighting);  // refuses what cannot be trained
  const std::vector<double> chances = draw.chances(levels);
  Json table = {{"loss_weighting", weighting.text()},
                {"timestep_sampling", draw.text()},
                {"prediction_type", name_of(reading.predicted())},
                {"family", name_of(levels.family())},
                {"levels", Json::array()}};
  for (int timestep = 0; timestep < levels.steps(); ++timestep) {
    const Level level = levels.at(timestep);
    table["levels"].push_back({{"timestep", timestep},
                               {"abar", level.abar},
                               {"snr", level.abar / (1 - level.abar)},
                               {"weight", rows[timestep].weight},
                               {"probability", chances[timestep]}});
  }
  if (json) return print_json(table, 2);
  print_result(join_text("weighting ", weighting.text(), " of ", name_of(reading.predicted()), ", drawn ", draw.text(),
                         draw.learns() ? ": uniform until every timestep has its losses" : ""));
  std::printf("%8s %14s %14s %14s %14s\n", "timestep", "abar", "SNR", "weight", "probability");
  for (const Json& line : table.at("levels"))
    std::printf("%8d %14.6e %14.6e %14.6e %14.6e\n", line.at("timestep").get<int>(), line.at("abar").get<double>(),
                line.at("snr").get<double>(), line.at("weight").get<double>(), line.at("probability").get<double>());
}

}  // namespace ito
