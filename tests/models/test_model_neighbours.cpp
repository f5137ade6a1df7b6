// SPDX-License-Identifier: Apache-2.0
// What people give for a model and is something else, and what stands beside a model and changes what it means: each is
// named.
#include <gtest/gtest.h>

#include "engine/checkpoint/directory.h"
#include "engine/checkpoint/names.h"
#include "models/model.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/warnings_kept.h"

namespace ito {
namespace {

Json small_config() {
  return {{"_class_name", "UNet2DModel"},
          {"block_out_channels", {8}},
          {"down_block_types", {"DownBlock2D"}},
          {"up_block_types", {"UpBlock2D"}},
          {"norm_num_groups", 4},
          {"layers_per_block", 1},
          {"in_channels", 1},
          {"out_channels", 1}};
}

// A whole diffusers directory FOLDER/name.
std::string write_small(const TempFolder& folder, const std::string& name, std::vector<std::string> class_names = {}) {
  const Model bare = read_model(folder.write("config.json", json_text(small_config())));
  Component component = bare.component(4, 4);
  component.class_names = std::move(class_names);
  const ParameterLayout layout = parameters_of(bare.network(4, 4));
  write_model(folder / name, component, {}, layout, initial_weights(layout, 1), nullptr);
  return folder / name;
}

TEST(ModelNeighbours, OtherJsonFilesAreNamed) {
  const TempFolder folder;
  const auto refused = [&](const std::string& text) {
    const std::string file = folder.write("config.json", text);
    const std::string message = message_of([&] { read_model(file); });
    EXPECT_TRUE(message.starts_with(file + ": ")) << message;
    return message.substr(std::min(message.size(), file.size() + 2));
  };
  EXPECT_EQ(
      refused(R"({"data": "x", "out": "y", "model": "demo", "steps": 5, "lr": 1})"),
      "is no network's configuration but the options of a training run; give the folder of the run, or one of its "
      "checkpoints");
  EXPECT_EQ(refused(R"({"peft_type": "LORA", "r": 4})"),
            "is no network's configuration but an adapter (\"LORA\"), which changes a model and is none; merge it into "
            "its model first");
  EXPECT_EQ(refused(R"({"architectures": ["CLIPTextModel"], "model_type": "clip_text_model"})"),
            "is no network's configuration but the configuration of another kind of model (model_type "
            "\"clip_text_model\")");
  EXPECT_EQ(refused(R"({"weight_map": {}})"),
            "is no network's configuration but the index of a model in shards; give the folder that it is in");
  EXPECT_EQ(refused(R"({"sample_size": 32, "in_channels": 3})"),
            "has neither _class_name nor block_out_channels, so it is no network's configuration");
  EXPECT_EQ(refused("{}"), "has neither _class_name nor block_out_channels, so it is no network's configuration");
  EXPECT_EQ(refused(R"({"_class_name": "AutoencoderKL", "block_out_channels": [8]})"),
            "_class_name is \"AutoencoderKL\", which is not implemented; use UNet2DModel, DiTTransformer2DModel, "
            "JiTTransformer2DModel, GaussianMixture, ToyNetwork");
}

TEST(ModelNeighbours, OtherFilesAreNamed) {
  const TempFolder folder;
  const auto refused = [&](const std::string& name) {
    const std::string path = folder.write(name, "{}");
    const std::string message = message_of([&] { read_model(path); });
    return message.substr(std::min(message.size(), path.size()));
  };
  EXPECT_EQ(refused("model_index.json"), ": is the index of a model's parts; give the folder that it is in");
  EXPECT_EQ(refused("w.safetensors"),
            ": holds tensors alone; give the folder of the model, which has their config.json too");
  EXPECT_EQ(refused("w.ckpt"),
            std::string(": a pickled checkpoint can run code when it is read and is not supported; save it as ") +
                kWeightsFile);
  for (const char* name : {"adapter_config.json", "pytorch_lora_weights.safetensors"}) {
    const TempFolder adapter;
    const std::string path = adapter.write(name, "{}");
    EXPECT_EQ(message_of([&] { read_model(adapter.path()); }),
              path + ": is an adapter, which changes a model and is none; merge it into its model first");
  }
}

TEST(ModelNeighbours, ARunWithoutACheckpointIsCalledThat) {
  const TempFolder folder;
  folder.write("run/config.json", R"({"data": "x", "out": "y", "model": "demo", "steps": 5})");
  folder.write("run/metrics.jsonl", "");
  EXPECT_EQ(
      message_of([&] { read_model(folder / "run"); }),
      (folder / "run") + ": is a training run that has no whole checkpoint yet; wait for its first, or go on with it");
}

TEST(ModelNeighbours, PartsOfAPipelineAreToldOf) {
  const TempFolder folder;
  const std::string model = write_small(folder, "ldm");
  const WarningsKept warnings;
  read_model(model);
  EXPECT_TRUE(WarningsKept::all().empty());
  const std::string flat = folder / "flat";  // as repositories of 2022 are
  std::filesystem::copy(model + "/unet", flat);
  std::filesystem::copy(model + "/model_index.json", flat);
  EXPECT_EQ(read_model(flat).files.folder, "");
  EXPECT_TRUE(WarningsKept::all().empty());
  Json index = read_json_file(model + "/model_index.json");
  index["_class_name"] = "LatentPipeline";
  index["vae"] = {"diffusers", "AutoencoderKL"};
  index["safety_checker"] = {nullptr, nullptr};
  index["requires_care"] = false;
  write_json_file(model + "/model_index.json", index);
  read_model(model);
  EXPECT_EQ(WarningsKept::all(),
            std::vector<std::string>{
                model + "/model_index.json: the pipeline \"LatentPipeline\" has vae (AutoencoderKL) beside "
                        "the network, which is not run; what the network draws are its latents, not "
                        "images"});
}

TEST(ModelNeighbours, AveragedWeightsAreToldOfAndFindTheirScheduler) {
  const TempFolder folder;
  const std::string model = write_small(folder, "trained");
  std::filesystem::copy(model + "/unet", model + "/unet_ema");
  const WarningsKept warnings;
  EXPECT_EQ(read_model(model).files.weights, model + "/unet/" + kWeightsFile);
  EXPECT_EQ(WarningsKept::all(),
            std::vector<std::string>{model + "/unet_ema: holds averaged weights; those of unet are read: "
                                             "give that folder to use it"});
  for (const std::string& given : {model + "/unet_ema", model + "/unet_ema/"}) {
    const ModelFiles files = read_model(given).files;
    EXPECT_EQ(std::filesystem::path(files.weights).lexically_normal(), model + "/unet_ema/" + kWeightsFile);
    EXPECT_EQ(files.scheduler, model + "/scheduler/scheduler_config.json") << given;
  }
}

TEST(ModelNeighbours, WithoutASchedulerTheDefaultsAreToldOf) {
  const TempFolder folder;
  const std::string model = write_small(folder, "model");
  std::filesystem::remove_all(model + "/scheduler");
  const WarningsKept warnings;
  EXPECT_EQ(read_scheduler(read_model(model).files), SchedulerConfig{});
  EXPECT_EQ(
      WarningsKept::all(),
      std::vector<std::string>{model + ": has no scheduler_config.json; taking DDPMScheduler's defaults (1000 steps, "
                                       "linear betas from 0.0001 to 0.02, epsilon)"});
  WarningsKept::all().clear();
  read_scheduler(read_model(folder / "config.json").files);  // nothing is sampled from an architecture
  EXPECT_TRUE(WarningsKept::all().empty());
}

TEST(ModelNeighbours, WhatIsNoSchedulerIsNamed) {
  const TempFolder folder;
  const auto refused = [&](const std::string& text) {
    ModelFiles files;
    files.scheduler = folder.write("scheduler_config.json", text);
    const std::string message = message_of([&] { read_scheduler(files); });
    return message.substr(std::min(message.size(), files.scheduler.size()));
  };
  EXPECT_EQ(refused(R"({"_class_name": "UNet2DModel"})"), ": _class_name is \"UNet2DModel\", which is no scheduler");
  EXPECT_EQ(
      refused(R"({"data": "x", "out": "y", "model": "z", "steps": 5, "beta_schedule": "linear"})"),
      ": is no scheduler but the options of a training run; give the folder of the run, or one of its checkpoints");
  EXPECT_EQ(
      refused("{}"),
      ": has neither _class_name nor any key of a noise schedule (num_train_timesteps, beta_start, ...), so it is no "
      "scheduler's configuration");
  EXPECT_EQ(refused(R"({"trained_betas": null})"), "") << "nothing is thrown";
}

TEST(ModelNeighbours, ClassNamesComeBack) {
  const TempFolder folder;
  const std::vector<std::string> names{"T-shirt/top", "two words", "na\xc3\xafve"};
  const std::string model = write_small(folder, "model", names);
  EXPECT_EQ(read_model(model).class_names, names);
  EXPECT_EQ(read_model(model).component().class_names, names);
  const std::string file = folder.write("model/class_names.json", R"(["a", 2])");
  EXPECT_EQ(message_of([&] { read_model(model); }), file + ": found [\"a\",2], expected a list of names");
}

}  // namespace
}  // namespace ito
