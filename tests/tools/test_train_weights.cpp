// SPDX-License-Identifier: Apache-2.0
// --loss-weighting and --timestep-sampling of `ito train`: what a run keeps of them, that it goes on with the same
// bits, and how a run from before they were there goes on.
#include <algorithm>

#include "tests/tools/training_run.h"

namespace ito {
namespace {

using Strings = std::vector<std::string>;

// The words with the value of one option replaced.
Strings with(Strings words, const std::string& option, const std::string& value) {
  *std::next(std::find(words.begin(), words.end(), option)) = value;
  return words;
}

Strings resume(Strings more = {}) {
  more.insert(more.begin(), "--resume");
  return more;
}

// From every step, most of them past the first ten losses of every timestep.
TEST(TrainWeights, AResumedRunHasTheSameBits) {
  TrainingRun whole;
  write_json_file(whole.beside("few.json"), {{"num_train_timesteps", 20}, {"beta_end", 0.3}});
  const Strings options = training_options(16, {"--scheduler", "few.json", "--checkpoint-every", "1", "--keep-last",
                                                "0", "--timestep-sampling", "importance", "--loss-weighting", "p2"});
  ASSERT_EQ(whole.run(with(options, "--batch", "40")), 0) << whole.errors();
  const Json config = read_json_file(whole.path("config.json"));
  EXPECT_EQ(config.at("timestep_sampling"), "importance:uniform=0.001");
  EXPECT_EQ(config.at("loss_weighting"), "p2:k=1,gamma=1");
  const SafetensorsFile state = SafetensorsFile::open(whole.path("checkpoint-000016/ito_state.safetensors"));
  for (const int64_t count : state.read_i64("level_losses.counts")) EXPECT_GE(count, 10);
  EXPECT_EQ(state.read_f32("level_losses.losses").size(), 200u);

  const std::string expected = whole.beside("expected");
  std::filesystem::copy(whole.path(), expected, std::filesystem::copy_options::recursive);
  const std::set<std::string> checkpoints = whole.checkpoints();
  for (const char* last : {"checkpoint-000002", "checkpoint-000009", "checkpoint-000014"}) {
    for (const std::string& name : checkpoints)
      if (name > last) std::filesystem::remove_all(whole.path(name));
    ASSERT_EQ(whole.run(resume({"--micro-batch", "8"})), 0) << whole.errors();
    for (const std::string& name : checkpoints)
      for (const std::string& file : files_below(expected + "/" + name))
        EXPECT_TRUE(read_bytes(expected + "/" + name + "/" + file) == read_bytes(whole.path(name + "/" + file)))
            << name << "/" << file << " after " << last;
  }
}

TEST(TrainWeights, AnotherWeightingOrDrawIsAnotherRun) {
  TrainingRun run;
  ASSERT_EQ(run.run(training_options(2, {"--loss-weighting", "min-snr"})), 0) << run.errors();
  const auto refused = [&](const Strings& more, const std::string& message) {
    EXPECT_EQ(run.run(resume(more)), 2);
    EXPECT_NE(run.errors().find("ito: " + message), std::string::npos) << run.errors();
  };
  refused({"--loss-weighting", "none"},
          "--loss-weighting \"none\": run/checkpoint-000002 was trained with \"min-snr:gamma=5\"");
  refused({"--loss-weighting", "min-snr:gamma=4"},
          "--loss-weighting \"min-snr:gamma=4\": run/checkpoint-000002 was trained with \"min-snr:gamma=5\"");
  refused({"--timestep-sampling", "importance"},
          "--timestep-sampling \"importance:uniform=0.001\": run/checkpoint-000002 was trained with \"uniform\"");
  ASSERT_EQ(run.run(resume({"--loss-weighting", "min-snr:gamma=5.0"})), 0) << run.errors();
}

// A run's config.json from before there was a choice: it was drawn uniformly, also where another draw is usual now,
// and its checkpoint's hash is of the options there were.
TEST(TrainWeights, AnOlderRunGoesOnUniformly) {
  TrainingRun whole, older;
  for (TrainingRun* run : {&whole, &older}) {
    write_json_file(run->beside("edm.json"), {{"_class_name", "EDMEulerScheduler"}});
    const Strings options =
        training_options(6, {"--scheduler", "edm.json", "--checkpoint-every", "3", "--timestep-sampling", "uniform"});
    ASSERT_EQ(run->run(with(options, "--prediction-type", "epsilon")), 0) << run->errors();
  }
  std::filesystem::remove_all(older.path("checkpoint-000006"));
  Json config = read_json_file(older.path("config.json"));
  config.erase("loss_weighting");
  config.erase("timestep_sampling");
  config.erase("class_dropout");
  write_json_file(older.path("config.json"), config);
  EXPECT_EQ(older.run(resume({"--timestep-sampling", "log-normal"})), 2);
  EXPECT_NE(older.errors().find("was trained with \"uniform\""), std::string::npos) << older.errors();
  ASSERT_EQ(older.run(resume()), 0) << older.errors();
  expect_equal_folders(whole.path(), older.path(), {"timings.jsonl"});
}

}  // namespace
}  // namespace ito
