// SPDX-License-Identifier: Apache-2.0
// What `ito train` takes for a noise schedule and a prediction type: --scheduler, and every prediction there is,
// trained and sampled.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "engine/diffusion/schedule.h"
#include "engine/io/json_file.h"
#include "engine/samplers/sampler.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

const char* const kSchedulerFile = "/checkpoint-000002/scheduler/scheduler_config.json";
const char* const kWeights = "/checkpoint-000002/unet/diffusion_pytorch_model.safetensors";

SchedulerConfig read_config(const std::string& file) {
  std::vector<std::string> warnings;
  const SchedulerConfig config = read_scheduler_config(read_json_file(file), file, warnings);
  EXPECT_TRUE(warnings.empty());
  return config;
}

// Two steps into `out`, which must go well.
void train(const TinyRun& tiny, const std::string& out, const Words& more) {
  const ChildResult result = run_ito(tiny.train + Words{"--steps", "2", "--out", tiny / out} + more);
  ASSERT_EQ(result.exit_code, 0) << out << ": " << result.err;
}

TEST(TrainScheduler, IsWrittenBackWhole) {
  const TinyRun tiny;
  SchedulerConfig config;
  config.class_name = "DDIMScheduler";
  config.num_train_timesteps = 50;
  config.beta_start = 0.001;
  config.beta_end = 0.03;
  config.beta_schedule = BetaSchedule::ScaledLinear;
  config.prediction_type = quantity_of("v_prediction", "");
  config.clip_sample_range = 1.5;
  config.timestep_spacing = TimestepSpacing::Trailing;
  config.rescale_betas_zero_snr = true;
  config.set_alpha_to_one = false;
  const std::string file = tiny.folder.write("given.json", json_text(scheduler_config_json(config)));
  train(tiny, "run", {"--scheduler", file});
  EXPECT_EQ(read_config(tiny / ("run" + std::string(kSchedulerFile))), config);
  const Json run = read_json_file(tiny / "run/config.json");
  EXPECT_EQ(run.at("scheduler"), file);
  EXPECT_EQ(run.at("prediction_type"), "v_prediction");
  EXPECT_EQ(run.at("beta_schedule"), "scaled_linear");
  // Its own checkpoint gives it in every form, and the same numbers.
  const std::string checkpoint = tiny / "run/checkpoint-000002";
  for (const auto& [name, path] : {std::pair{"of-file", checkpoint + "/scheduler/scheduler_config.json"},
                                   {"of-folder", checkpoint + "/scheduler"},
                                   {"of-checkpoint", checkpoint},
                                   {"of-run", tiny / "run"}}) {
    train(tiny, name, {"--scheduler", path});
    expect_same_files(checkpoint, tiny / (std::string(name) + "/checkpoint-000002"));
  }
}

// The same schedule by two roads gives the same bits, so a file is used and not only kept: names against flags, and
// trained_betas against the line that they are.
TEST(TrainScheduler, IsWhatTrainingUses) {
  const TinyRun tiny;
  const std::string named = tiny.folder.write(
      "named.json",
      R"({"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction", "num_train_timesteps": 1000})");
  train(tiny, "file", {"--scheduler", named});
  train(tiny, "flags", {"--beta-schedule", "squaredcos_cap_v2", "--prediction-type", "v_prediction"});
  expect_same_files(tiny / "file/checkpoint-000002", tiny / "flags/checkpoint-000002");

  const NoiseSchedule line{SchedulerConfig{}};
  SchedulerConfig config;
  config.trained_betas.emplace();
  for (int timestep = 0; timestep < line.steps(); ++timestep)
    config.trained_betas->push_back(line.beta(Step::from_timestep(timestep)));
  const std::string betas = tiny.folder.write("betas.json", json_text(scheduler_config_json(config)));
  train(tiny, "betas", {"--scheduler", betas});
  train(tiny, "line", {});
  EXPECT_EQ(read_bytes(tiny / ("betas" + std::string(kWeights))), read_bytes(tiny / ("line" + std::string(kWeights))));
  EXPECT_EQ(read_config(tiny / ("betas" + std::string(kSchedulerFile))), config);
  EXPECT_NE(read_bytes(tiny / ("file" + std::string(kWeights))), read_bytes(tiny / ("line" + std::string(kWeights))));
}

TEST(TrainScheduler, TheCommandLineWins) {
  const TinyRun tiny;
  SchedulerConfig config;
  config.beta_end = 0.03;
  config.prediction_type = quantity_of("v_prediction", "");
  const std::string file = tiny.folder.write("given.json", json_text(scheduler_config_json(config)));
  train(tiny, "run", {"--scheduler", file, "--prediction-type", "sample", "--beta-schedule", "sigmoid"});
  config.prediction_type = Quantity::x0();
  config.beta_schedule = BetaSchedule::Sigmoid;
  EXPECT_EQ(read_config(tiny / ("run" + std::string(kSchedulerFile))), config);
  EXPECT_EQ(read_json_file(tiny / "run/config.json").at("prediction_type"), "sample");
}

TEST(TrainScheduler, ResumeRefusesAnother) {
  const TinyRun tiny;
  SchedulerConfig config;
  config.beta_start = 0.001;
  const std::string file = tiny.folder.write("given.json", json_text(scheduler_config_json(config)));
  const Words constant{"--lr-schedule", "constant"};
  train(tiny, "run", constant + Words{"--scheduler", file});
  train(tiny, "whole", constant + Words{"--scheduler", file, "--steps", "4"});
  const Words resume{"train", "--out", tiny / "run", "--resume", "--steps", "4"};

  config.beta_start = 0.002;
  const std::string other = tiny.folder.write("other.json", json_text(scheduler_config_json(config)));
  const ChildResult refused = run_ito(resume + Words{"--scheduler", other});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("ito: --scheduler: its beta_start is 0.002, that of " + (tiny / "run/checkpoint-000002") +
                             " 0.001; resume with the same value, or start another run in another folder"),
            std::string::npos)
      << refused.err;
  // The file that the run began with has changed, which is no matter: its checkpoint holds what it was.
  tiny.folder.write("given.json", json_text(scheduler_config_json(config)));
  EXPECT_EQ(run_ito(resume + Words{"--scheduler", file}).exit_code, 2);
  const ChildResult resumed = run_ito(resume);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  expect_same_files(tiny / "whole/checkpoint-000004", tiny / "run/checkpoint-000004");
}

// The straight path by one word is the class that diffusers has for it, and a family goes with no other's file.
TEST(TrainScheduler, AFamilyByNameIsItsUsualClass) {
  const TinyRun tiny;
  const std::string file =
      tiny.folder.write("flow.json", R"({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 1.0})");
  train(tiny, "file", {"--scheduler", file});
  train(tiny, "name", {"--family", "flow"});
  expect_same_files(tiny / "file/checkpoint-000002", tiny / "name/checkpoint-000002");
  EXPECT_EQ(read_config(tiny / ("name" + std::string(kSchedulerFile))).prediction_type, Quantity::flow());
  train(tiny, "sub-vp", {"--family", "sub-vp"});
  EXPECT_EQ(read_config(tiny / ("sub-vp" + std::string(kSchedulerFile))).family, Family::SubVp);
  EXPECT_EQ(refusal(tiny.train + Words{"--out", tiny / "no", "--scheduler", file, "--family", "ve"}),
            "ito: --family ve: --scheduler " + file + " is of family flow; leave one of them out\n");
  EXPECT_NE(refusal(tiny.train + Words{"--out", tiny / "no", "--family", "flaw"}).find("did you mean 'flow'?"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(tiny / "no"));
}

// A JiT is trained as it is published to be unless told otherwise, and what it was told goes with the checkpoint.
TEST(TrainScheduler, AModelComesWithItsTraining) {
  const TinyRun tiny;
  const std::string model = tiny.folder.write("jit.json", R"({"_class_name": "JiTTransformer2DModel", "sample_size": 8,
      "in_channels": 1, "patch_size": 2, "bottleneck_dim": 4, "num_layers": 2, "num_attention_heads": 2,
      "attention_head_dim": 8, "num_classes": 3, "context_length": 2, "context_start": 1, "noise_scale": 2})");
  const auto levels = [&](const std::string& run) {
    const Json config = read_json_file(tiny / (run + "/config.json"));
    return Json{config.at("family"), config.at("prediction_type"), config.at("loss_weighting"),
                config.at("timestep_sampling"), config.at("class_dropout")};
  };
  const Json published{"flow", "sample", "velocity:least=0.05,noise_scale=2", "logit-normal:mean=1.49315,std=0.8", 0.1};
  train(tiny, "jit", {"--model", model});
  EXPECT_EQ(levels("jit"), published);
  const Json index = read_json_file(tiny / "jit/checkpoint-000002/model_index.json");
  EXPECT_EQ(index.at("transformer"), Json({"ito", "JiTTransformer2DModel"}));
  EXPECT_EQ(index.at("scheduler"), Json({"diffusers", "FlowMatchEulerDiscreteScheduler"}));
  EXPECT_EQ(read_json_file(tiny / ("jit" + std::string(kSchedulerFile))).at("shift"), 2.0);
  train(tiny, "told", {"--model", model, "--loss-weighting", "none", "--class-dropout", "0"});
  EXPECT_EQ(levels("told"), (Json{"flow", "sample", "none", "logit-normal:mean=1.49315,std=0.8", 0.0}));
  train(tiny, "other", {"--model", model, "--family", "vp"});
  EXPECT_EQ(levels("other"), (Json{"vp", "epsilon", "none", "uniform", 0.0}));
  // It goes on as it began, and is sampled as its scheduler says, guided by 1 as by nothing.
  const Words four{"--steps", "4", "--lr-schedule", "constant"};
  train(tiny, "jit4", four + Words{"--model", model});
  train(tiny, "jit2", Words{"--model", model, "--lr-schedule", "constant"});
  ASSERT_EQ(run_ito(Words{"train", "--out", tiny / "jit2", "--resume", "--steps", "4"}).exit_code, 0);
  expect_same_files(tiny / "jit4/checkpoint-000004", tiny / "jit2/checkpoint-000004");
  const auto drawn = [&](const Words& more) {
    const ChildResult result = run_ito(Words{"sample", "--checkpoint", tiny / "jit4", "--steps", "3", "--count", "3",
                                             "--class", "1", "--out", tiny / "drawn"} +
                                       more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return SafetensorsFile::open(tiny / "drawn/samples.safetensors").read_f32("samples");
  };
  const std::vector<float> plain = drawn({});
  EXPECT_EQ(drawn({"--guidance", "1", "--batch", "2"}), plain);
  EXPECT_EQ(drawn({"--sampler", "flow-euler"}), plain);
  EXPECT_NE(drawn({"--guidance", "3"}), plain);
}

// A discrete process of the SDEs has betas below 1 from 21 levels on.
std::string few_steps(const std::string& sampler) {
  return sampler_named(sampler).grid == GridKind::Continuous ? "25" : "5";
}

// A model of every family learns, its checkpoint says which it is, and its own sampler and another draw from it.
TEST(TrainScheduler, EveryFamilyIsTrainedAndSampled) {
  const Json files[] = {{{"_class_name", "EDMEulerScheduler"}},
                        {{"_class_name", "FlowMatchEulerDiscreteScheduler"}},
                        {{"_class_name", "ScoreSdeVpScheduler"}},
                        {{"_class_name", "ScoreSdeVeScheduler"}, {"sigma_max", 50.0}},
                        {{"num_train_timesteps", 1000}, {"family", "sub-vp"}}};
  for (const Json& json : files) {
    SCOPED_TRACE(json.dump());
    const TinyRun tiny;
    const std::string file = tiny.folder.write("given.json", json.dump());
    const ChildResult result =
        run_ito(tiny.train + Words{"--steps", "60", "--log-every", "20", "--out", tiny / "run", "--scheduler", file});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    std::istringstream lines(read_bytes(tiny / "run/metrics.jsonl"));
    std::vector<double> losses;
    for (std::string line; std::getline(lines, line);) losses.push_back(Json::parse(line).at("loss"));
    ASSERT_EQ(losses.size(), 3u);
    EXPECT_LT(losses[2], losses[0]);
    std::vector<std::string> warnings;
    const SchedulerConfig expected = read_scheduler_config(json, "", warnings);
    const SchedulerConfig kept = read_config(tiny / "run/checkpoint-000060/scheduler/scheduler_config.json");
    EXPECT_EQ(kept.family, expected.family);
    EXPECT_EQ(kept.prediction_type, expected.prediction_type);
    EXPECT_EQ(kept.sigma_max, expected.sigma_max);
    const std::string own = sampler_of_class(expected.class_name, "").name;
    for (const std::string& sampler : {own, std::string("dpm++2m")}) {
      const ChildResult drawn = run_ito(Words{"sample", "--checkpoint", tiny / "run", "--sampler", sampler, "--steps",
                                              few_steps(sampler), "--count", "2", "--out", tiny / sampler});
      ASSERT_EQ(drawn.exit_code, 0) << sampler << ": " << drawn.err;
    }
  }
}

// Every line of the table of quantities: it learns, its checkpoint names it, and samplers of one and of several calls a
// step draw from it, in one case all of them.
TEST(TrainScheduler, EveryPredictionIsTrainedAndSampled) {
  for (const Quantity quantity : Quantity::all()) {
    SCOPED_TRACE(std::string(name_of(quantity)));
    const TinyRun tiny;
    const ChildResult result = run_ito(tiny.train + Words{"--steps", "60", "--log-every", "20", "--out", tiny / "run",
                                                          "--prediction-type", std::string(name_of(quantity))});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    std::istringstream lines(read_bytes(tiny / "run/metrics.jsonl"));
    std::vector<double> losses;
    for (std::string line; std::getline(lines, line);) losses.push_back(Json::parse(line).at("loss"));
    ASSERT_EQ(losses.size(), 3u);
    EXPECT_LT(losses[2], losses[0]);
    EXPECT_EQ(read_config(tiny / "run/checkpoint-000060/scheduler/scheduler_config.json").prediction_type, quantity);
    for (const std::string& sampler : quantity == Quantity::v() ? sampler_names() : Words{"ddpm", "unipc", "heun"}) {
      if (sampler_named(sampler).adaptive) continue;  // it takes no number of steps
      const ChildResult drawn = run_ito(Words{"sample", "--checkpoint", tiny / "run", "--sampler", sampler, "--steps",
                                              few_steps(sampler), "--count", "2", "--out", tiny / sampler});
      ASSERT_EQ(drawn.exit_code, 0) << sampler << ": " << drawn.err;
      const std::vector<float> samples =
          SafetensorsFile::open(tiny / (sampler + "/samples.safetensors")).read_f32("samples");
      // A clipped x0 is 1 at most, and some noise stays on it; without the clip a network of 60 steps may say anything,
      // and the way back ends in what it says of the noise.
      const bool bounded = sampler_named(sampler).clips && sampler != "ddim-inverse";
      const float most = bounded ? 3 : std::numeric_limits<float>::max();
      for (const float value : samples) ASSERT_LE(std::fabs(value), most) << sampler;
    }
  }
}

}  // namespace
}  // namespace ito
