// SPDX-License-Identifier: Apache-2.0
// What `ito train --print-weights` prints: the weight and the chance of every timestep.
#include <algorithm>
#include <cmath>
#include <sstream>

#include "engine/diffusion/schedule.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

Json printed(const Words& more) {
  const ChildResult result = run_ito(Words{"train", "--print-weights", "--json"} + more);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return Json::parse(result.out);
}

TEST(PrintWeights, AreTheClosedFormsByTimestep) {
  const Json table = printed({"--loss-weighting", "min-snr:gamma=2", "--prediction-type", "v_prediction"});
  EXPECT_EQ(table.at("loss_weighting"), "min-snr:gamma=2");
  EXPECT_EQ(table.at("timestep_sampling"), "uniform");
  EXPECT_EQ(table.at("prediction_type"), "v_prediction");
  EXPECT_EQ(table.at("family"), "vp");
  ASSERT_EQ(table.at("levels").size(), 1000u);
  const NoiseSchedule schedule((SchedulerConfig()));
  for (int t = 0; t < 1000; ++t) {
    const Json& line = table.at("levels")[t];
    const double abar = schedule.abar(Step::from_timestep(t)), snr = abar / (1 - abar);
    EXPECT_EQ(line.at("timestep"), t);
    EXPECT_EQ(line.at("abar"), abar);
    EXPECT_EQ(line.at("snr"), snr);
    const double want = std::min(snr, 2.0) / (snr + 1);
    EXPECT_NEAR(line.at("weight").get<double>(), want, 2 * 0x1p-24 * want);
    EXPECT_EQ(line.at("probability"), 0.001);
  }
}

TEST(PrintWeights, AFamilyHasItsUsualDraw) {
  const TinyRun tiny;
  const auto usual = [&](const Json& scheduler, const Words& more = {}) {
    const std::string file = tiny.folder.write("scheduler.json", scheduler.dump());
    const Json table = printed(Words{"--scheduler", file} + more);
    double sum = 0;
    for (const Json& line : table.at("levels")) sum += line.at("probability").get<double>();
    EXPECT_NEAR(sum, 1, 1e-12);
    return table.at("timestep_sampling").get<std::string>();
  };
  const Json edm = {{"_class_name", "EDMEulerScheduler"}}, flow = {{"_class_name", "FlowMatchEulerDiscreteScheduler"}};
  EXPECT_EQ(usual(edm), "log-normal:mean=-1.2,std=1.2");
  EXPECT_EQ(usual(flow), "logit-normal:mean=0,std=1");
  EXPECT_EQ(usual(flow, {"--timestep-sampling", "uniform"}), "uniform");
  EXPECT_EQ(usual({{"num_train_timesteps", 1000}}), "uniform");
}

TEST(PrintWeights, AsATableWithAlignedColumns) {
  const ChildResult result = run_ito({"train", "--print-weights", "--timestep-sampling", "importance"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::istringstream lines(result.out);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line,
            "weighting none of epsilon, drawn importance:uniform=0.001: uniform until every timestep has its losses");
  std::getline(lines, line);
  const size_t width = line.size();
  EXPECT_EQ(line, "timestep           abar            SNR         weight    probability");
  int timesteps = 0;
  for (; std::getline(lines, line); ++timesteps) {
    EXPECT_EQ(line.size(), width);
    EXPECT_EQ(std::stoi(line), timesteps);
  }
  EXPECT_EQ(timesteps, 1000);
}

TEST(PrintWeights, WhatCannotBeTrainedIsRefused) {
  const TinyRun tiny;
  const std::string file = tiny.folder.write("zero.json", R"({"rescale_betas_zero_snr": true})");
  EXPECT_EQ(refusal({"train", "--print-weights", "--scheduler", file, "--loss-weighting", "edm"}),
            "ito: --loss-weighting edm:sigma_data=0.5: its weight of epsilon at timestep 999 is not finite (SNR 0); "
            "choose another weighting or prediction_type\n");
}

}  // namespace
}  // namespace ito
