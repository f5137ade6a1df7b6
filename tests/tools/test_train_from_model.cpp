// SPDX-License-Identifier: Apache-2.0
// What a training run takes from a model that is there, what its checkpoint holds to go on from, and data as people
// have it, from outside.
#include <cmath>
#include <filesystem>

#include "engine/checkpoint/names.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

const std::string kWeights = std::string("unet/") + kWeightsFile;
const std::string kState = kTrainingStateFile;

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::fabs(double{a[i]} - b[i]));
  return a.size() == b.size() ? largest : INFINITY;
}

TEST(TrainFromModel, StartsFromItsWeights) {
  const TinyRun tiny;
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "first", "--steps", "6"}).exit_code, 0);
  const std::string model = tiny / "first/checkpoint-000006";
  // One step of a rate that moves no weight by more than 1e-6 (AdamW: the rate times at most 1 / (1 - beta1) = 20).
  const Words one_step{"--steps", "1", "--lr", "5e-8", "--lr-schedule", "constant", "--warmup", "0", "--seed", "77"};
  const ChildResult tuned = run_ito(tiny.train + one_step + Words{"--out", tiny / "tuned", "--model", model});
  ASSERT_EQ(tuned.exit_code, 0) << tuned.err;
  EXPECT_NE(tuned.err.find("starting from the weights of " + model + "/" + kWeights + "\n"), std::string::npos)
      << tuned.err;
  const SafetensorsFile given = SafetensorsFile::open(model + "/" + kWeights);
  const SafetensorsFile state = SafetensorsFile::open(tiny / ("tuned/checkpoint-000001/" + kState));
  for (const std::string& name : given.names())
    EXPECT_LT(largest_difference(given.read_f32(name), state.read_f32("weights." + name)), 2e-6) << name;

  // Its config.json is an architecture: the weights are the seed's.
  for (const std::string& architecture : {model + "/unet/config.json", tiny.model}) {
    const std::string out = tiny / ("anew" + std::to_string(architecture.size()));
    const ChildResult anew = run_ito(tiny.train + one_step + Words{"--out", out, "--model", architecture});
    ASSERT_EQ(anew.exit_code, 0) << anew.err;
    EXPECT_EQ(anew.err.find("starting from"), std::string::npos) << anew.err;
  }
  EXPECT_EQ(read_bytes(tiny / ("anew" + std::to_string(tiny.model.size())) + "/metrics.jsonl"),
            read_bytes(tiny / ("anew" + std::to_string((model + "/unet/config.json").size())) + "/metrics.jsonl"));
}

// --init: everything that fits, bit for bit; of a network with other classes its table of them by the seed; a line says
// which. The model's own training is not taken.
TEST(TrainFromModel, FineTunesWithOtherClasses) {
  const TinyRun tiny;
  const Words v{"--prediction-type", "v_prediction", "--checkpoint-every", "3"};
  ASSERT_EQ(run_ito(tiny.train + v + Words{"--out", tiny / "first", "--steps", "3"}).exit_code, 0);
  const std::string model = tiny / "first/checkpoint-000003", table = "class_embedding.weight";
  for (const char* gone : {"/class1", "/class2"}) fs::remove_all(tiny.images + gone);  // one is left of three
  Words train = tiny.train + Words{"--steps", "1", "--lr", "5e-8", "--lr-schedule", "constant", "--warmup", "0"};
  train.erase(std::find(train.begin(), train.end(), "--model"), std::find(train.begin(), train.end(), "--model") + 2);
  const ChildResult tuned = run_ito(train + Words{"--out", tiny / "tuned", "--init", tiny / "first"});
  ASSERT_EQ(tuned.exit_code, 0) << tuned.err;
  const SafetensorsFile given = SafetensorsFile::open(model + "/" + kWeights);
  const size_t count = given.names().size();
  EXPECT_NE(tuned.err.find(join_text("starting from the weights of ", model, "/", kWeights, ": ", count - 1, " of ",
                                     count, " tensors; drawn anew: ", table,
                                     ", [1, 32] for [3, 32]; its noise schedule, a new optimiser\n")),
            std::string::npos)
      << tuned.err;
  EXPECT_NE(tuned.err.find("; 8 images a step in one pass\n"), std::string::npos) << tuned.err;
  const std::string out = tiny / "tuned/checkpoint-000001/";
  const SafetensorsFile state = SafetensorsFile::open(out + kState), average = SafetensorsFile::open(out + kWeights);
  for (const std::string& name : given.names())
    if (name != table) {
      EXPECT_LT(largest_difference(given.read_f32(name), state.read_f32("weights." + name)), 2e-6) << name;
      EXPECT_LT(largest_difference(given.read_f32(name), average.read_f32(name)), 2e-6) << name;
      if (!state.has("first_moment." + name)) continue;
      // Of one step's gradient: (1 - 0.95) g, |g| at most 1 by the clipping.
      const std::vector<float> moment = state.read_f32("first_moment." + name);
      EXPECT_LE(largest_difference(moment, std::vector<float>(moment.size())), 0.0501) << name;
    }
  // The table is what the seed draws for such a network.
  const ChildResult anew = run_ito(
      train + Words{"--out", tiny / "anew", "--model", out + "unet/config.json", "--prediction-type", "v_prediction"});
  ASSERT_EQ(anew.exit_code, 0) << anew.err;
  const SafetensorsFile drawn = SafetensorsFile::open(tiny / ("anew/checkpoint-000001/" + kState));
  EXPECT_LT(largest_difference(drawn.read_f32("weights." + table), state.read_f32("weights." + table)), 3e-6);
  EXPECT_GT(largest_difference(std::vector<float>(32), state.read_f32("weights." + table)), 0.1);
  EXPECT_EQ(read_json_file(out + "unet/config.json").at("num_class_embeds"), 1);
  EXPECT_EQ(read_json_file(out + "scheduler/scheduler_config.json").at("prediction_type"), "v_prediction");
  EXPECT_EQ(state.read_i64("state.step").at(0), 1);

  // It goes on by itself, and the model may be gone by then.
  fs::rename(tiny / "first", tiny / "away");
  const ChildResult more = run_ito({"train", "--out", tiny / "tuned", "--resume", "--steps", "2"});
  ASSERT_EQ(more.exit_code, 0) << more.err;
  fs::rename(tiny / "away", tiny / "first");
  // A table for the classes that are there and none besides; the same classes take all of it.
  const ChildResult dropped =
      run_ito(train + Words{"--out", tiny / "dropped", "--init", tiny / "tuned", "--class-dropout", "0.5"});
  EXPECT_NE(dropped.err.find("drawn anew: " + table + ", [2, 32] for [1, 32]"), std::string::npos) << dropped.err;
  const ChildResult same = run_ito(train + Words{"--out", tiny / "same", "--init", tiny / "dropped"});
  EXPECT_NE(same.err.find(join_text(": ", count, " of ", count, " tensors; its noise schedule")), std::string::npos)
      << same.err;

  EXPECT_NE(refusal(train + Words{"--out", tiny / "no", "--init", tiny / "first", "--model", "ddpm-256"})
                .find("--model ddpm-256: --init " + (tiny / "first") + " has an architecture of its own; leave one"),
            std::string::npos);
  EXPECT_NE(refusal(train + Words{"--out", tiny / "no", "--init", tiny.model}).find("found no weights"),
            std::string::npos);
}

TEST(TrainFromModel, TakesItsNoiseSchedule) {
  const TinyRun tiny;
  const Words step{"--steps", "1"};
  ASSERT_EQ(run_ito(tiny.train + step + Words{"--out", tiny / "first", "--prediction-type", "v_prediction"}).exit_code,
            0);
  const std::string model = tiny / "first/checkpoint-000001";
  const auto prediction_of = [&](const std::string& out) {
    return read_json_file(out + "/checkpoint-000001/scheduler/scheduler_config.json").at("prediction_type");
  };
  ASSERT_EQ(run_ito(tiny.train + step + Words{"--out", tiny / "tuned", "--model", model}).exit_code, 0);
  EXPECT_EQ(prediction_of(tiny / "tuned"), "v_prediction");
  ASSERT_EQ(run_ito(tiny.train + step + Words{"--out", tiny / "asked", "--model", model, "--prediction-type", "sample"})
                .exit_code,
            0);
  EXPECT_EQ(prediction_of(tiny / "asked"), "sample");
}

// The files that the options named at the start are gone: the checkpoint holds what they said.
TEST(TrainFromModel, TheCheckpointSufficesToGoOn) {
  const TinyRun tiny;
  const std::string scheduler = tiny.folder.write(
      "noise.json", R"({"_class_name": "DDPMScheduler", "num_train_timesteps": 50, "beta_end": 0.1})");
  const Words train = tiny.train + Words{"--scheduler", scheduler, "--lr-schedule", "constant"};
  ASSERT_EQ(run_ito(train + Words{"--out", tiny / "whole", "--steps", "5"}).exit_code, 0);
  ASSERT_EQ(run_ito(train + Words{"--out", tiny / "run", "--steps", "3"}).exit_code, 0);
  fs::remove(scheduler);
  fs::remove(tiny.model);
  const ChildResult resumed = run_ito({"train", "--out", tiny / "run", "--resume", "--steps", "5"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  for (const std::string& name : {kWeights, kState})
    EXPECT_EQ(read_bytes(tiny / ("whole/checkpoint-000005/" + name)),
              read_bytes(tiny / ("run/checkpoint-000005/" + name)))
        << name;
  // Without a checkpoint there is nothing to take their place.
  fs::remove_all(tiny / "run/checkpoint-000003");
  fs::remove_all(tiny / "run/checkpoint-000005");
  const std::string refused = refusal({"train", "--out", tiny / "run", "--resume", "--steps", "6"});
  EXPECT_NE(refused.find("model.json"), std::string::npos) << refused;
}

TEST(TrainFromModel, ClassesKeepTheirNames) {
  const TinyRun tiny;
  fs::rename(tiny.images + "/class1", tiny.images + "/zebra crossing");
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "1"}).exit_code, 0);
  ASSERT_EQ(run_ito({"convert", "--from", tiny / "run", "--out", tiny / "copy"}).exit_code, 0);
  for (const char* model : {"run", "copy"}) {
    const ChildResult shown = run_ito({"inspect", tiny / model});
    EXPECT_NE(shown.out.find("classes\n  0    \"class0\"\n  1    \"class2\"\n  2    \"zebra crossing\"\n"),
              std::string::npos)
        << shown.out;
  }
  EXPECT_EQ(parse_json(run_ito({"inspect", tiny / "run", "--json"}).out, "inspect").at("class_names"),
            Json({"class0", "class2", "zebra crossing"}));
}

// Squares cut to the model's rectangle; what is drawn is judged against what was learned from.
TEST(TrainFromModel, ImagesNeedNotBeSquare) {
  const TinyRun tiny;
  Json wide = tiny_model();
  wide["sample_size"] = {4, 8};
  const std::string model = tiny.folder.write("wide.json", json_text(wide));
  const ChildResult trained = run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "1", "--model", model});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_NE(trained.err.find(": 12 images of 4 x 8 x 1;"), std::string::npos) << trained.err;
  ASSERT_EQ(run_ito({"sample", "--checkpoint", tiny / "run", "--out", tiny / "drawn", "--count", "3", "--steps", "2"})
                .exit_code,
            0);
  for (const std::string& data : {tiny.images, tiny / "drawn/samples.safetensors"}) {
    const ChildResult judged =
        run_ito({"eval", "--samples", tiny / "drawn/samples.safetensors", "--data", data, "--projections", "3"});
    EXPECT_EQ(judged.exit_code, 0) << judged.err;
  }
}

TEST(TrainFromModel, TheDataSetCountsInTheMemory) {
  const TinyRun tiny;
  SafetensorsWriter writer;
  std::vector<uint8_t> pixels(5 << 20);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i);
  writer.add_u8("samples", {5 << 14, 1, 8, 8}, std::move(pixels));
  writer.add_i64("labels", {5 << 14}, std::vector<int64_t>(5 << 14, 2));
  writer.write(tiny / "large.safetensors");
  const Words train =
      tiny.train + Words{"--data", tiny / "large.safetensors", "--steps", "1", "--out", tiny / "run", "--batch", "64"};
  const auto with_limit = [&](const char* mib, const Words& words) {
    Words command{"/usr/bin/env", join_text("ITO_MEMORY_LIMIT_MIB=", mib), program_path("ito")};
    command.insert(command.end(), words.begin(), words.end());
    return run_child(command);
  };
  const ChildResult reading = with_limit("9", train);
  EXPECT_EQ(reading.exit_code, 2);
  EXPECT_EQ(reading.err, "ito: " + (tiny / "large.safetensors") +
                             ": reading its 81920 images needs 10 MiB, but only 9 MiB are free; take fewer or smaller "
                             "images, or free some memory\n");
  const ChildResult training = with_limit("10", train);
  EXPECT_EQ(training.exit_code, 2);
  // The images, and two batches on their way.
  EXPECT_NE(training.err.find(", data set 6, "), std::string::npos) << training.err;
  EXPECT_FALSE(fs::exists(tiny / "run"));
}

// A word within a moment, and how far it is: links to one large picture, read by one thread.
TEST(TrainFromModel, ALongReadingIsToldOf) {
  const TinyRun tiny;
  fs::create_directories(tiny / "slow");
  Image noisy(3000, 3000, 3);
  for (size_t i = 0; i < noisy.pixels.size(); ++i) noisy.pixels[i] = static_cast<uint8_t>((i * i) >> 7);
  write_png(tiny / "slow/000.png", noisy);
  constexpr int kPictures = 40;
  for (int i = 1; i < kPictures; ++i)
    fs::create_hard_link(tiny / "slow/000.png", tiny / join_text("slow/", 100 + i, ".png"));
  Json plain = tiny_model();
  plain.erase("num_class_embeds");
  const ChildResult result =
      run_ito(tiny.train + Words{"--data", tiny / "slow", "--out", tiny / "run", "--steps", "1", "--threads", "1",
                                 "--model", tiny.folder.write("plain.json", json_text(plain))});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(result.err.starts_with("reading " + (tiny / "slow") + "\nreading ")) << result.err;
  EXPECT_NE(result.err.find("/40  "), std::string::npos) << result.err;
}

}  // namespace
}  // namespace ito
