// SPDX-License-Identifier: Apache-2.0
// The reverse options from the command line: each trained and sampled, what is measured for them, and what is refused.
#include "engine/checkpoint/names.h"
#include "engine/diffusion/level_statistics.h"
#include "engine/diffusion/scheduler_config.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

// A run of few timesteps, so that all of them are walked and measured.
class ReverseCommand : public testing::Test {
 protected:
  static constexpr int kTimesteps = 20;

  static void SetUpTestSuite() {
    tiny_ = new TinyRun;
    const std::string schedule = tiny_->folder.write("t.json", R"({"num_train_timesteps": 20, "beta_end": 0.3})");
    for (const char* reverse : {"posterior", "direct"}) {
      const ChildResult trained = run_ito(tiny_->train + Words{"--out", *tiny_ / reverse, "--steps", "40", "--reverse",
                                                               reverse, "--scheduler", schedule});
      ASSERT_EQ(trained.exit_code, 0) << trained.err;
    }
  }
  static void TearDownTestSuite() { delete tiny_; }

  static Words sample(const std::string& run, const Words& more = {}) {
    return Words{"sample", "--checkpoint", *tiny_ / run,    "--sampler", "ddpm", "--count",
                 "2",      "--out",        *tiny_ / "drawn"} +
           more;
  }
  static std::string drawn(const std::string& run, const Words& more = {}) {
    const ChildResult result = run_ito(sample(run, more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_bytes(*tiny_ / "drawn/samples.safetensors");
  }
  static std::string statistics_of(const std::string& run) {
    return *tiny_ / (run + "/checkpoint-000040/" + kStatisticsFile);
  }

  static TinyRun* tiny_;
};
TinyRun* ReverseCommand::tiny_ = nullptr;

TEST_F(ReverseCommand, EachIsTrainedAndSampled) {
  const LevelStatistics measured = read_level_statistics(statistics_of("posterior"), kTimesteps);
  double images = 0;
  for (const double count : measured.images) images += count;
  EXPECT_GT(images, 10);
  const std::string usual = drawn("posterior");
  EXPECT_EQ(drawn("posterior", {"--reverse", "posterior"}), usual);
  EXPECT_EQ(drawn("posterior", {"--reverse", "vlb"}), usual) << "the variance is not learned";
  EXPECT_NE(drawn("posterior", {"--reverse", "marginal"}), usual);
  EXPECT_NE(drawn("posterior", {"--reverse", "x0-mix"}), usual);
  const Json scheduler = read_json_file(*tiny_ / "direct/checkpoint-000040/scheduler/scheduler_config.json");
  EXPECT_EQ(scheduler.at("reverse"), "direct");
  EXPECT_EQ(scheduler.at("prediction_type"), name_of(Quantity::mean()));
  EXPECT_NE(drawn("direct"), usual);
  // What it predicts says what x0 is, so that other samplers take it too.
  EXPECT_NE(drawn("direct", {"--reverse", "posterior"}), usual);
  EXPECT_EQ(run_ito(Words{"sample", "--checkpoint", *tiny_ / "direct", "--sampler", "dpm++2m", "--steps", "5",
                          "--count", "2", "--out", *tiny_ / "drawn"})
                .exit_code,
            0);
}

TEST_F(ReverseCommand, StatisticsAreMeasuredOnHeldOutImages) {
  const std::string out = *tiny_ / "held-out.json";
  const Words measure{"reverse-stats",
                      "--checkpoint",
                      *tiny_ / "posterior",
                      "--data",
                      tiny_->images,
                      "--out",
                      out,
                      "--per-timestep",
                      "3"};
  ASSERT_EQ(run_ito(measure).exit_code, 0);
  const LevelStatistics found = read_level_statistics(out, kTimesteps);
  EXPECT_EQ(found.images, std::vector<double>(kTimesteps, 3.0));
  EXPECT_EQ(found.mix_square.size(), static_cast<size_t>(kTimesteps));
  const std::string bytes = read_bytes(out);
  ASSERT_EQ(run_ito(measure + Words{"--batch", "7"}).exit_code, 0);
  EXPECT_EQ(read_bytes(out), bytes) << "whatever the batch";
  // Without a file it goes where training had put its own; then the mixing is known there, too.
  EXPECT_NE(refusal(sample("posterior", {"--reverse", "x0-mix", "--set", "mix=least-squares"}))
                .find("reverse option x0-mix: needs the least-squares mixing of every timestep"),
            std::string::npos);
  ASSERT_EQ(
      run_ito({"reverse-stats", "--checkpoint", *tiny_ / "posterior", "--data", tiny_->images, "--per-timestep", "3"})
          .exit_code,
      0);
  EXPECT_EQ(read_bytes(statistics_of("posterior")), bytes);
  EXPECT_NE(drawn("posterior", {"--reverse", "x0-mix", "--set", "mix=least-squares"}),
            drawn("posterior", {"--reverse", "x0-mix"}));
}

TEST_F(ReverseCommand, Refusals) {
  EXPECT_EQ(
      refusal(sample("posterior", {"--reverse", "margnal"})).find("ito: --reverse: reverse 'margnal' is not known"),
      0u);
  EXPECT_EQ(refusal(sample("posterior", {"--reverse", "direct"})),
            "ito: reverse option direct: needs a network of prediction_type mean, this one predicts epsilon; use "
            "another reverse option\n");
  EXPECT_EQ(refusal(sample("direct", {"--steps", "10"})).find("ito: reverse option direct: the network knows the mean"),
            0u);
  EXPECT_EQ(refusal(tiny_->train + Words{"--out", *tiny_ / "no", "--reverse", "direct", "--prediction-type", "sample"}),
            "ito: --reverse direct: learns the mean itself, and --prediction-type is sample; leave one of them out\n");
  EXPECT_EQ(
      refusal({"reverse-stats", "--checkpoint", *tiny_ / "posterior", "--data", tiny_->images, "--per-timestep", "0"})
          .find("ito: --per-timestep 0: expected 1 to "),
      0u);
  // A file that does not fit matters to those who ask for it alone.
  const std::string file = statistics_of("direct"), whole = read_bytes(file);
  tiny_->folder.write("direct/checkpoint-000040/level_statistics.json", R"({"images": [1], "error": [1]})");
  EXPECT_EQ(refusal(sample("direct")),
            "ito: " + file + ": images is no list of 20 numbers, one a timestep of the " + "schedule\n");
  drawn("direct", {"--reverse", "posterior"});
  tiny_->folder.write("direct/checkpoint-000040/level_statistics.json", whole);
}

}  // namespace
}  // namespace ito
