// SPDX-License-Identifier: Apache-2.0
// `ito train` from outside: the files of a run, equal runs, option files, refusals.
#include <cmath>
#include <set>

#include "engine/checkpoint/find_model.h"
#include "engine/checkpoint/snapshot.h"
#include "engine/checkpoint/weights.h"
#include "models/model.h"
#include "tests/engine/io/read_events.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

// Long option names that `ito train --help` shows, as configuration keys.
std::set<std::string> documented_keys() {
  const std::string help = run_ito({"train", "--help"}).out;
  std::set<std::string> keys;
  for (size_t at = help.find("\n  "); at != std::string::npos; at = help.find("\n  ", at + 1)) {
    const size_t end = help.find('\n', at + 1), dashes = help.find("--", at);
    if (dashes == std::string::npos || dashes > std::min(end, at + 8)) continue;  // within -h,--help
    std::string name = help.substr(dashes + 2, help.find_first_of(" ,\n", dashes) - dashes - 2);
    std::replace(name.begin(), name.end(), '-', '_');
    keys.insert(name);
  }
  return keys;
}

TEST(TrainCommand, LeavesACompleteRun) {
  const TinyRun tiny;
  const std::string out = tiny / "run";
  const ChildResult result = run_ito(tiny.train + Words{"--out", out, "--steps", "5", "--checkpoint-every", "2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find(out + "/checkpoint-000005"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find(out + "/loss.svg"), std::string::npos) << result.out;

  // Logged every two steps and at the end.
  const std::vector<Json> metrics = read_json_lines(out + "/metrics.jsonl");
  ASSERT_EQ(metrics.size(), 3u);
  for (size_t i = 0; i < metrics.size(); ++i) {
    EXPECT_EQ(metrics[i].at("step"), std::min<int>(5, 2 * (static_cast<int>(i) + 1)));
    EXPECT_GT(metrics[i].at("loss").get<double>(), 0);
    EXPECT_LT(metrics[i].at("loss").get<double>(), 10);
    EXPECT_GT(metrics[i].at("gradient_norm").get<double>(), 0);
    EXPECT_TRUE(metrics[i].at("learning_rate").is_number());
    EXPECT_EQ(metrics[i].at("skipped"), 0);
    EXPECT_FALSE(metrics[i].contains("seconds"));
  }
  EXPECT_EQ(read_json_lines(out + "/timings.jsonl").size(), 3u);

  const std::string svg = read_bytes(out + "/loss.svg");
  EXPECT_NE(svg.find("<svg"), std::string::npos);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  // 16 images of 8 x 8, four to a row, two pixels between them; a quarter of 5 steps is 1, so there is one every step.
  for (const char* name : {"samples-000001.png", "samples-000005.png"}) {
    const Image grid = read_image(out + "/" + name);
    EXPECT_EQ(grid.height, 4 * 8 + 3 * 2);
    EXPECT_EQ(grid.width, 4 * 8 + 3 * 2);
  }

  EXPECT_EQ(read_bytes(out + "/latest"), "checkpoint-000005\n");
  for (const char* step : {"2", "4", "5"}) {
    const ModelFiles files = find_model(out + "/checkpoint-00000" + step, component_folders());
    EXPECT_NE(files.weights, "");
    EXPECT_NE(files.scheduler, "");
    const SafetensorsFile state = SafetensorsFile::open(files.state);
    EXPECT_EQ(state.read_i64("state.step").at(0), std::stoi(step));
    EXPECT_EQ(state.read_i64("seed").at(0), 5);
    EXPECT_EQ(read_json_file(files.config).at("num_class_embeds"), 3);
  }
  for (const auto& item : fs::recursive_directory_iterator(out))
    EXPECT_EQ(item.path().string().find(".partial"), std::string::npos) << item.path();
}

TEST(TrainCommand, WritesEveryOptionToTheConfiguration) {
  const TinyRun tiny;
  ASSERT_EQ(run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "1", "--flip"}).exit_code, 0);
  const Json config = read_json_file(tiny / "run/config.json");
  std::set<std::string> found, documented = documented_keys();
  for (const auto& [key, value] : config.items()) found.insert(key);
  for (const char* of_the_call : {"help", "config", "resume", "print_weights", "json", "profile_steps"})
    documented.erase(of_the_call);
  EXPECT_GT(documented.size(), 20u);
  EXPECT_EQ(found, documented);
  EXPECT_EQ(config.at("flip"), true);
  EXPECT_EQ(config.at("batch"), 8);
  EXPECT_EQ(config.at("seed"), 5);
  EXPECT_EQ(config.at("adam_betas"), Json({0.95, 0.999}));
  EXPECT_EQ(config.at("prediction_type"), "epsilon");
}

TEST(TrainCommand, EqualRunsGiveEqualFiles) {
  const TinyRun tiny;
  const Words train = tiny.train + Words{"--steps", "4", "--flip", "--checkpoint-every", "2"};
  const std::pair<const char*, Words> runs[] = {{"a", {}},
                                                {"b", {}},
                                                {"one-thread", {"--threads", "1"}},
                                                {"three-threads", {"--threads", "3"}},
                                                {"profiled", {"--profile-steps", "2:3"}},
                                                {"micro-batches", {"--micro-batch", "4"}}};
  for (const auto& [name, more] : runs) {
    const ChildResult result = run_ito(train + Words{"--out", tiny / name} + more);
    ASSERT_EQ(result.exit_code, 0) << name << ": " << result.err;
    for (const char* part : {"/checkpoint-000002", "/checkpoint-000004"}) {
      SCOPED_TRACE(name);
      expect_same_files(tiny / (std::string("a") + part), tiny / (name + std::string(part)));
    }
    for (const char* file : {"/metrics.jsonl", "/loss.svg", "/samples-000004.png"})
      EXPECT_TRUE(read_bytes(tiny / (std::string("a") + file)) == read_bytes(tiny / (name + std::string(file))))
          << name << file;
  }
  ASSERT_EQ(run_ito(train + Words{"--out", tiny / "other-seed", "--seed", "6"}).exit_code, 0);
  EXPECT_NE(read_bytes(tiny / "a/metrics.jsonl"), read_bytes(tiny / "other-seed/metrics.jsonl"));
}

// The curves of metrics.jsonl, once each, also where steps were done twice: a resumed run's file voids what follows its
// checkpoint.
TEST(TrainCommand, WritesEventsForTensorBoard) {
  const TinyRun tiny;
  const std::string out = tiny / "run", folder = out + "/tensorboard/events.out.tfevents.000000000";
  const Words words = tiny.train + Words{"--out", out, "--steps", "5", "--log-every", "1", "--checkpoint-every", "2"};
  ASSERT_EQ(run_ito(words + Words{"--tensorboard"}).exit_code, 0);
  fs::remove_all(out + "/checkpoint-000005");
  ASSERT_EQ(run_ito({"train", "--out", out, "--resume"}).exit_code, 0);
  std::map<int64_t, std::map<std::string, float>> curves;
  std::set<int64_t> pictured;
  for (const char* number : {"1", "2"})
    for (const test::Event& event : test::read_events(read_bytes(folder + number + ".ito"))) {
      if (event.starts) {
        EXPECT_EQ(event.step, *number == '1' ? 1 : 5);
        curves.erase(curves.lower_bound(event.step), curves.end());
        pictured.erase(pictured.lower_bound(event.step), pictured.end());
      }
      EXPECT_TRUE(event.scalars.empty() || curves.emplace(event.step, event.scalars).second) << event.step;
      for (const auto& [tag, picture] : event.pictures) {
        EXPECT_TRUE(pictured.insert(event.step).second) << event.step;
        EXPECT_EQ(test::text_of(picture, 4), read_bytes(join_text(out, "/samples-00000", event.step, ".png")));
        EXPECT_EQ(test::number_of(picture, 1), 38u);
      }
    }
  EXPECT_EQ(pictured, (std::set<int64_t>{1, 2, 3, 4, 5}));
  const std::vector<Json> metrics = read_json_lines(out + "/metrics.jsonl");
  ASSERT_EQ(curves.size(), metrics.size());
  for (const Json& line : metrics) {
    const auto& values = curves.at(line.at("step"));
    for (const char* name : {"loss", "gradient_norm", "learning_rate"})
      EXPECT_EQ(values.at(name), line.at(name).get<float>()) << name;
    EXPECT_GT(values.at("images_per_second"), 0);
  }
}

TEST(TrainCommand, TrainsOnASafetensorsFile) {
  const TinyRun tiny;
  std::vector<uint8_t> pixels;
  std::vector<int64_t> labels;
  for (int label = 0; label < kTinyClasses; ++label)
    for (int number = 0; number < kTinyPerClass; ++number) {
      const Image image = tiny_image(label, number);
      pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
      labels.push_back(label);
    }
  const int64_t count = static_cast<int64_t>(labels.size());
  SafetensorsWriter writer;
  writer.add_u8("samples", {count, 1, 8, 8}, std::vector<uint8_t>(pixels));
  writer.add_i64("labels", {count}, labels);
  writer.write(tiny / "data.safetensors");
  const Words steps{"--steps", "3"};
  ASSERT_EQ(run_ito(tiny.train + steps + Words{"--out", tiny / "folder"}).exit_code, 0);
  const ChildResult result =
      run_ito(tiny.train + steps + Words{"--out", tiny / "file", "--data", tiny / "data.safetensors"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  // The same images in the same order: the same run.
  EXPECT_EQ(read_bytes(tiny / "folder/metrics.jsonl"), read_bytes(tiny / "file/metrics.jsonl"));
  EXPECT_EQ(read_bytes(tiny / "folder/checkpoint-000003/unet/diffusion_pytorch_model.safetensors"),
            read_bytes(tiny / "file/checkpoint-000003/unet/diffusion_pytorch_model.safetensors"));

  // Without labels the model's classes have nothing to be.
  SafetensorsWriter unlabelled;
  unlabelled.add_u8("samples", {count, 1, 8, 8}, std::move(pixels));
  unlabelled.write(tiny / "unlabelled.safetensors");
  EXPECT_NE(refusal(tiny.train + Words{"--out", tiny / "no", "--data", tiny / "unlabelled.safetensors"})
                .find("has 0 classes, the model num_class_embeds 3"),
            std::string::npos);
}

// Real numbers as labels: a run that is resumed has the bits of one that is not, and images are drawn for numbers that
// were never trained on, in turn.
TEST(TrainCommand, TakesRealValuedLabels) {
  const TinyRun tiny;
  Json config = tiny_model();
  config.erase("num_class_embeds");
  config["class_embed_type"] = "timestep";
  const std::string model = tiny.folder.write("valued.json", json_text(config));
  std::vector<uint8_t> pixels;
  std::vector<float> labels;
  for (int number = 0; number < kTinyPerClass; ++number) {
    const Image image = tiny_image(0, 9 * number);
    pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
    labels.push_back(0.5f * static_cast<float>(number) - 0.25f);
  }
  SafetensorsWriter writer;
  writer.add_u8("samples", {kTinyPerClass, 1, 8, 8}, pixels);
  writer.add("labels", {kTinyPerClass}, labels);
  writer.write(tiny / "data.safetensors");
  const Words train = tiny.train + Words{"--data", tiny / "data.safetensors", "--model", model, "--steps",
                                         "4",      "--checkpoint-every",      "2"};
  ASSERT_EQ(run_ito(train + Words{"--out", tiny / "whole"}).exit_code, 0);
  ASSERT_EQ(run_ito(train + Words{"--out", tiny / "run"}).exit_code, 0);
  fs::remove_all(tiny / "run/checkpoint-000004");
  ASSERT_EQ(run_ito({"train", "--out", tiny / "run", "--resume", "--micro-batch", "4"}).exit_code, 0);
  expect_same_files(tiny / "whole/checkpoint-000004", tiny / "run/checkpoint-000004");

  const auto sample = [&](const std::string& out, const Words& more) {
    const ChildResult drawn = run_ito(Words{"sample", "--checkpoint", tiny / "run", "--out", tiny / out, "--sampler",
                                            "ddim", "--steps", "2", "--npz"} +
                                      more);
    EXPECT_EQ(drawn.exit_code, 0) << drawn.err;
    return SafetensorsFile::open(tiny / out + "/samples.safetensors");
  };
  const SafetensorsFile drawn = sample("a", {"--count", "3", "--labels", "0.1,-2"});
  EXPECT_EQ(drawn.read_f32("labels"), (std::vector<float>{0.1f, -2, 0.1f}));
  const std::vector<float> images = drawn.read_f32("samples");
  const SafetensorsFile second =
      sample("b", {"--count", "1", "--first", "1", "--labels", tiny / "a/samples.safetensors"});
  EXPECT_EQ(second.read_f32("labels"), std::vector<float>{-2});
  EXPECT_TRUE(std::equal(images.begin() + 64, images.begin() + 128, second.read_f32("samples").begin()));
  EXPECT_NE(sample("c", {"--count", "1", "--labels", "0.2"}).read_f32("samples"),
            sample("d", {"--count", "1", "--labels", "0.1"}).read_f32("samples"));

  EXPECT_NE(refusal(tiny.train + Words{"--data", tiny / "data.safetensors", "--out", tiny / "no"})
                .find("has real-valued labels (-0.25, ...), the model takes class numbers"),
            std::string::npos);
}

TEST(TrainCommand, TrainsAModelWithoutClasses) {
  const TinyRun tiny;
  Json model = tiny_model();
  model.erase("num_class_embeds");
  model["dropout"] = 0.1;
  const std::string path = tiny.folder.write("plain.json", json_text(model));
  const ChildResult result =
      run_ito(tiny.train + Words{"--out", tiny / "run", "--steps", "2", "--model", path, "--prediction-type",
                                 "v_prediction", "--lr-schedule", "linear"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(read_json_file(tiny / "run/checkpoint-000002/scheduler/scheduler_config.json").at("prediction_type"),
            "v_prediction");
}

TEST(TrainCommand, TellsOfAWarmUpThatTheRunEndsIn) {
  const TinyRun tiny;
  const auto train = [&](const std::string& name, const Words& more) {
    const ChildResult result = run_ito(tiny.train + Words{"--out", tiny / name, "--steps", "4"} + more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    double largest = 0;
    for (const Json& line : read_json_lines(tiny / name + "/metrics.jsonl"))
      largest = std::max(largest, line.at("learning_rate").get<double>());
    const bool told = result.err.find("ito: warning: --warmup ") != std::string::npos;
    EXPECT_EQ(told, largest < 0.0019) << largest << ": " << result.err;
    return result.err;
  };
  EXPECT_NE(train("a", {"--warmup", "16", "--log-every", "1"})
                .find("--warmup 16: the run ends within it, at step 4, and its learning rate gets to 0.000375 of --lr "
                      "0.002; give a shorter --warmup or more --steps\n"),
            std::string::npos);
  train("b", {"--warmup", "4", "--log-every", "1"});
  train("c", {"--warmup", "3", "--log-every", "1", "--lr-schedule", "constant"});
  train("d", {"--warmup", "0", "--log-every", "1"});
}

TEST(TrainCommand, RefusesAFolderThatHoldsARun) {
  const TinyRun tiny;
  const Words train = tiny.train + Words{"--out", tiny / "run", "--steps", "1"};
  ASSERT_EQ(run_ito(train).exit_code, 0);
  const auto before = files_below(tiny / "run");
  const ChildResult again = run_ito(train);
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_NE(again.err.find("ito: --out " + (tiny / "run") + ": holds a run already"), std::string::npos) << again.err;
  EXPECT_TRUE(before == files_below(tiny / "run")) << "the refusal changed the run that was there";
}

TEST(TrainCommand, TakesOptionsFromAFile) {
  const TinyRun tiny;
  const std::string options = tiny.folder.write("options.json", json_text({{"data", tiny.images},
                                                                           {"out", tiny / "run"},
                                                                           {"model", tiny.model},
                                                                           {"steps", 7},
                                                                           {"batch", 4},
                                                                           {"lr", 0.003},
                                                                           {"lr_schedule", "constant"},
                                                                           {"adam_betas", {0.8, 0.9}},
                                                                           {"flip", true},
                                                                           {"log_every", 1}}));
  const ChildResult result = run_ito({"train", "--config", options, "--steps", "2", "--batch=8"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json config = read_json_file(tiny / "run/config.json");
  EXPECT_EQ(config.at("steps"), 2) << "the command line comes first";
  EXPECT_EQ(config.at("batch"), 8) << "the command line comes first";
  EXPECT_EQ(config.at("lr"), 0.003);
  EXPECT_EQ(config.at("lr_schedule"), "constant");
  EXPECT_EQ(config.at("adam_betas"), Json({0.8, 0.9}));
  EXPECT_EQ(config.at("flip"), true);
  EXPECT_EQ(config.at("ema_decay"), 0.9999) << "neither says anything";
  EXPECT_EQ(read_json_lines(tiny / "run/metrics.jsonl").size(), 2u);

  // A run's own configuration is an option file.
  ASSERT_EQ(run_ito({"train", "--config", tiny / "run/config.json", "--out", tiny / "again"}).exit_code, 0);
  EXPECT_EQ(read_bytes(tiny / "run/metrics.jsonl"), read_bytes(tiny / "again/metrics.jsonl"));
}

TEST(TrainCommand, RefusesOptionFilesThatDoNotFit) {
  const TinyRun tiny;
  const auto message = [&](const std::string& text) {
    const std::string path = tiny.folder.write("options.json", text);
    return refusal(tiny.train + Words{"--out", tiny / "run", "--config", path});
  };
  const std::string path = tiny / "options.json";
  EXPECT_EQ(message(R"({"stepz": 3})"), "ito: " + path + ": unknown key stepz; did you mean 'steps'?\n");
  EXPECT_EQ(message(R"({"warm-up": 3})"), "ito: " + path + ": unknown key warm-up; did you mean 'warmup'?\n");
  EXPECT_EQ(message(R"({"steps": "many"})"), "ito: " + path + ": steps is \"many\"; expected a whole number\n");
  EXPECT_EQ(message(R"({"a\n\u001b[2J": 3})"), "ito: " + path + ": unknown key a\\x0a\\x1b[2J\n");
  EXPECT_EQ(message("[1]"), "ito: " + path + ": found array, expected a JSON object of options\n");
  EXPECT_NE(message(R"({"config": "x.json"})").find("unknown key config"), std::string::npos);
  EXPECT_NE(message("{").find(path + ": not valid JSON"), std::string::npos);
  EXPECT_FALSE(fs::exists(tiny / "run")) << "a refused run leaves no folder";
}

TEST(TrainCommand, RefusesBadValues) {
  const TinyRun tiny;
  const std::pair<Words, const char*> cases[] = {{{"--steps", "0"}, "--steps 0"},
                                                 {{"--steps", "many"}, "--steps"},
                                                 {{"--batch", "0"}, "batch"},
                                                 {{"--batch", "-4"}, "batch"},
                                                 {{"--micro-batch", "3"}, "--micro-batch 3"},
                                                 {{"--lr", "-1"}, "--lr -1"},
                                                 {{"--lr", "nan"}, "--lr nan"},
                                                 {{"--warmup", "-1"}, "--warmup -1"},
                                                 {{"--adam-betas", "2", "0.9"}, "--adam-betas 2"},
                                                 {{"--ema-decay", "1"}, "--ema-decay 1"},
                                                 {{"--ema", "0.9,sigma-rel-1"}, "--ema sigma-rel-1: expected a width"},
                                                 {{"--ema", "0.9", "--ema-decay", "0.5"}, "leave one of them out"},
                                                 {{"--ema", "0.9", "--ema-snapshots", "5"}, "no average by a power"},
                                                 {{"--grad-clip", "-1"}, "--grad-clip -1"},
                                                 {{"--log-every", "0"}, "--log-every"},
                                                 {{"--precision", "fp8"}, "--precision fp8"},
                                                 {{"--lr-schedule", "step"}, "--lr-schedule"},
                                                 {{"--prediction-type", "noise"}, "--prediction-type"},
                                                 {{"--beta-schedule", "cubic"}, "--beta-schedule"},
                                                 {{"--model", "no-such-model"}, "no-such-model"},
                                                 {{"--data", "no-such-data"}, "no-such-data"}};
  for (const auto& [words, mark] : cases) {
    SCOPED_TRACE(words[0] + " " + words[1]);
    const std::string message = refusal(tiny.train + Words{"--out", tiny / "run"} + words);
    EXPECT_NE(message.find(mark), std::string::npos) << message;
  }
  EXPECT_FALSE(fs::exists(tiny / "run")) << "a refused run leaves no folder";
  const ChildResult unwritable = run_ito(tiny.train + Words{"--out", "/proc/no/such/place"});
  EXPECT_EQ(unwritable.exit_code, 2);
  EXPECT_NE(unwritable.err.find("ito: --out /proc/no/such/place: cannot be created"), std::string::npos);
  EXPECT_NE(refusal({"train", "--out", tiny / "run"}).find("--data is missing"), std::string::npos);
  EXPECT_NE(refusal({"train", "--data", tiny.images}).find("--out is missing"), std::string::npos);
}

}  // namespace
}  // namespace ito
