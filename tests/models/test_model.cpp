// SPDX-License-Identifier: Apache-2.0
// From a path or a name to a model: what chooses the architecture, what is refused, and that a configuration is written
// as it was read.
#include "models/model.h"

#include <gtest/gtest.h>

#include "engine/checkpoint/directory.h"
#include "engine/checkpoint/names.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

const char* const kSmall = R"("block_out_channels": [8], "down_block_types": ["DownBlock2D"], "norm_num_groups": 4,
  "up_block_types": ["UpBlock2D"], "layers_per_block": 1, "in_channels": 1, "out_channels": 1)";

std::string small(const std::string& more = "") {
  return join_text("{", kSmall, more, "}");
}

TEST(Model, TheClassChoosesTheArchitecture) {
  const TempFolder folder;
  for (const std::string& text : {small(), small(R"(, "_class_name": "UNet2DModel")")}) {
    const Model model = read_model(folder.write("config.json", text));
    EXPECT_EQ(model.architecture->class_name, std::string("UNet2DModel"));
    EXPECT_EQ(model.where, folder / "config.json");
  }
  const std::string other = folder.write("other/unet/config.json", small(R"(, "_class_name": "UNet1DModel")"));
  EXPECT_EQ(message_of([&] { read_model(folder / "other"); }),
            other +
                ": _class_name is \"UNet1DModel\", which is not implemented; use UNet2DModel, DiTTransformer2DModel, "
                "JiTTransformer2DModel, GaussianMixture, ToyNetwork");
  const std::string number = folder.write("number/config.json", small(R"(, "_class_name": 7)"));
  EXPECT_EQ(message_of([&] { read_model(folder / "number"); }),
            number +
                ": _class_name is 7, which is not implemented; use UNet2DModel, DiTTransformer2DModel, "
                "JiTTransformer2DModel, GaussianMixture, ToyNetwork");
}

TEST(Model, ComesWithItsFilesAndItsComponent) {
  const TempFolder folder;
  const Model bare = read_model(folder.write("config.json", small()));
  EXPECT_EQ(message_of([&] { bare.weights_file(); }),
            (folder / "config.json") +
                ": found no weights; expected diffusion_pytorch_model.safetensors in it or in its unet folder");
  const ParameterLayout layout = parameters_of(bare.network(4, 4));
  const std::vector<float> weights = initial_weights(layout, 1);
  write_model(folder / "model", bare.component(4, 6), {}, layout, weights, nullptr);

  const Model model = read_model(folder / "model");
  EXPECT_EQ(model.weights_file(), folder / (std::string("model/unet/") + kWeightsFile));
  EXPECT_EQ(model.component().folder, "unet");
  EXPECT_EQ(model.component().class_name, "UNet2DModel");
  EXPECT_EQ(model.component().config, read_json_file(folder / "model/unet/config.json"));
  EXPECT_EQ(model.component().config, bare.component(4, 6).config);
  EXPECT_EQ(model.network().image, (ImageShape{4, 6, 1})) << "the size that the configuration states";
  EXPECT_EQ(model.network(8, 0).image, (ImageShape{8, 6, 1}));
}

TEST(Model, WithoutASizeItMustBeGiven) {
  const TempFolder folder;
  const Model model = read_model(folder.write("config.json", small()));
  EXPECT_EQ(message_of([&] { model.network(4, 0); }),
            (folder / "config.json") + ": has no image size; give the height and the width");
  EXPECT_EQ(model.network(4, 4).image, (ImageShape{4, 4, 1}));
}

TEST(Model, NamesAreThoseOfTheArchitectures) {
  const std::vector<std::string> names = named_models();
  EXPECT_EQ(names, (std::vector<std::string>{"demo", "ddpm-cifar10", "ddpm-256", "dit-b-2", "dit-xl-2", "jit-tiny",
                                             "jit-b-16", "jit-b-32", "jit-l-16", "jit-l-32", "jit-h-16", "jit-h-32"}));
  for (const std::string& name : names) {
    EXPECT_TRUE(is_named_model(name));
    const Model model = named_model(name);
    EXPECT_EQ(model.configured.image, model.network().image) << name;
    EXPECT_EQ(model.component(model.configured.image.height, model.configured.image.width).config,
              model.configured.config)
        << name;
  }
  EXPECT_FALSE(is_named_model("demi"));
  EXPECT_EQ(
      message_of([] { model_of("demi"); }),
      "model demi: no such model; use demo, ddpm-cifar10, ddpm-256, dit-b-2, dit-xl-2, jit-tiny, jit-b-16, jit-b-32, "
      "jit-l-16, jit-l-32, jit-h-16, jit-h-32 or the path of a config.json; did you mean 'demo'?");
}

// What a network states of its times, and who asks.
TEST(Model, StatesTheTimestepsItCanBeAskedAt) {
  const TempFolder folder;
  const auto time = [&](const std::string& more) {
    return read_model(folder.write("config.json", small(more))).network(4, 4).time;
  };
  EXPECT_EQ(time("").rows, 0);
  EXPECT_FALSE(time("").positive);
  EXPECT_TRUE(time(R"(, "time_embedding_type": "fourier")").positive);
  const TimeDomain table = time(R"(, "time_embedding_type": "learned", "num_train_timesteps": 100)");
  EXPECT_EQ(table.rows, 100);
  check_timestep_count(table, "here", 100);
  check_timestep_count(time(""), "here", 1 << 20);
  EXPECT_EQ(message_of([&] { check_timestep_count(table, "here", 101); }),
            "here: its learned time embedding has num_train_timesteps 100, but the noise schedule has 101 timesteps; "
            "make the two agree");
}

}  // namespace
}  // namespace ito
