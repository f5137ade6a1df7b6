// SPDX-License-Identifier: Apache-2.0
// One more architecture, planted here: it is read, planned, trained, written and read again, and no file of the product
// had to know it.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/checkpoint/directory.h"
#include "engine/checkpoint/weights.h"
#include "engine/ops/ops.h"
#include "engine/reverse/predictor.h"
#include "engine/training/trainer.h"
#include "models/model.h"
#include "tests/engine/io/temp_folder.h"

namespace ito {
namespace {

constexpr int kSize = 4;

// One convolution. Its configuration has one key of its own.
Configured configure(const Json& config, const std::string& where, std::vector<std::string>*) {
  const int kernel = config.value("kernel", 3);
  ITO_USER_CHECK(kernel == 1 || kernel == 3, where, ": kernel is ", kernel, "; expected 1 or 3");
  Configured made;
  made.config = {{"_class_name", "PlantedModel"}, {"kernel", kernel}};
  made.image = {kSize, kSize, 1};
  made.network = [kernel](int height, int width) {
    Network network;
    network.image = {height, width, 1};
    network.out_channels = 1;
    network.append = [kernel](Program& program, const NetworkInputs& in) {
      Conv2dOptions options = kernel == 1 ? pointwise_options(1, false) : Conv2dOptions{};
      options.k = 1;
      return conv2d(program, "only", in.sample, options);
    };
    return network;
  };
  made.config_for = [config = made.config](int, int) { return config; };
  return made;
}

const Architecture kPlanted{"PlantedModel", "planted", configure, {}};
const Architecture* const kAll[] = {&kPlanted};

TEST(PlantedArchitecture, IsReadTrainedWrittenAndReadAgain) {
  const TempFolder folder;
  const Model model = read_model(folder.write("config.json", R"({"_class_name": "PlantedModel", "kernel": 1})"), kAll);
  const Network network = model.network();
  const NoiseSchedule schedule{SchedulerConfig{}};

  TrainSettings settings;
  settings.batch = 4;
  settings.learning_rate.steps = 3;
  settings.learning_rate.warmup_steps = 0;
  Trainer trainer(network, schedule, settings);
  const std::vector<float> initial = initial_weights(trainer.layout(), 1);
  trainer.set_weights(initial);
  const std::vector<float> images(4 * kSize * kSize, 0.5f);
  for (int step = 0; step < 3; ++step) trainer.step(images.data(), nullptr);
  const std::vector<float> trained = trainer.download(Trainer::Arena::Weights);
  EXPECT_NE(trained, initial);

  write_model(folder / "out", model.component(), schedule.config(), trainer.layout(), trained, nullptr);
  EXPECT_TRUE(std::filesystem::exists(folder / "out/planted/config.json"));
  const Model again = read_model(folder / "out", kAll);
  const ParameterLayout layout = parameters_of(again.network());
  ASSERT_EQ(layout, trainer.layout());
  const std::vector<float> read = read_weights(again.weights_file(), layout);
  EXPECT_EQ(read, trained);

  // What it computes: weight x + bias.
  Stream stream;
  DeviceBuffer<float> weights(read.size(), "weights");
  weights.upload(stream, read.data());
  std::vector<float> x(kSize * kSize);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.1f * static_cast<float>(i);
  const std::vector<float> y = predict(again.network(), weights.data(), DType::F32, 1, x, {0}, {});
  const float weight = read[layout.find("only.weight").offset], bias = read[layout.find("only.bias").offset];
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y[i], weight * x[i] + bias, 1e-6 * (1 + std::fabs(weight)));
}

TEST(PlantedArchitecture, IsRefusedWhereItIsNotKnown) {
  const TempFolder folder;
  const std::string config = folder.write("config.json", R"({"_class_name": "PlantedModel"})");
  EXPECT_EQ(message_of([&] { read_model(config); }),
            config +
                ": _class_name is \"PlantedModel\", which is not implemented; use UNet2DModel, DiTTransformer2DModel, "
                "JiTTransformer2DModel, GaussianMixture, ToyNetwork");
}

}  // namespace
}  // namespace ito
