// SPDX-License-Identifier: Apache-2.0
// Gaussian mixtures and closed forms as models: their files, what their networks answer beside the definitions on the
// host, the pull-back, and what they are refused for.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/checkpoint/directory.h"
#include "engine/program/denoiser.h"
#include "engine/reverse/predictor.h"
#include "engine/training/trainer.h"
#include "models/mixture/mixture_config.h"
#include "models/model_on_device.h"
#include "models/toy/toy_config.h"
#include "tests/engine/user_error.h"
#include "tests/models/mixture/two_bumps.h"

namespace ito::test {
namespace {

Json with(Json object, const char* key, const Json& value) {
  object[key] = value;
  return object;
}
Json toy_json(const char* name) {
  return {{"_class_name", "ToyNetwork"}, {"name", name}, {"shape", {3, 2, 5}}};
}

TEST(MixtureConfig, IsWrittenAsItIsRead) {
  for (const Json& file : {two_bumps(), three_images(), with(three_images(), "classes", {1, 0, 1})}) {
    std::vector<std::string> warnings;
    EXPECT_EQ(to_json(mixture_config_from_json(file, "m.json", &warnings)), file);
    EXPECT_EQ(warnings, std::vector<std::string>{});
  }
  std::vector<std::string> warnings;
  mixture_config_from_json(with(two_bumps(), "colour", 3), "m.json", &warnings);
  EXPECT_EQ(warnings, std::vector<std::string>{"m.json: ignoring unknown keys: 'colour'"});
}

// Number (c, y, x) of a file is number (y, x, c) of a sample.
TEST(MixtureConfig, MeansAreInTheOrderOfTheShape) {
  const MixtureConfig config = mixture_config_from_json(three_images(), "m.json", nullptr);
  EXPECT_EQ(config.image, (ImageShape{2, 4, 2}));
  const GaussianMixture mixture = config.mixture();
  ASSERT_EQ(mixture.size(), 16);
  for (size_t k = 0; k < 3; ++k)
    for (size_t c = 0; c < 2; ++c)
      for (size_t pixel = 0; pixel < 8; ++pixel) {
        EXPECT_EQ(mixture.means()[k * 16 + pixel * 2 + c], config.means[k][c * 8 + pixel]);
        EXPECT_EQ(mixture.variances()[k * 16 + pixel * 2 + c], config.variances[k][c * 8 + pixel]);
      }
  EXPECT_NEAR(std::exp(mixture.log_weights()[1]), 0.2, 1e-15);
}

TEST(MixtureConfig, RefusesWhatIsNoMixture) {
  const Json good = two_bumps();
  const std::pair<Json, const char*> cases[] = {
      {with(good, "shape", {2, 1}), "m.json: shape holds 2 numbers; expected [C, H, W]"},
      {with(good, "shape", {2, 0, 1}), "m.json: shape holds 0; expected 1 to 16384"},
      {with(good, "shape", "2x1"), "m.json: shape is \"2x1\"; expected a list"},
      {with(good, "shape", {16384, 16384, 2}), "m.json: shape is of 536870912 numbers; expected at most 134217728"},
      {with(good, "weights", Json::array()), "m.json: weights holds 0 numbers; expected 1 to 2048, one a component"},
      {with(good, "weights", {1, -1}), "m.json: weights holds -1; expected 1e-300 to 1e+300"},
      {with(good, "weights", {1, true}), "m.json: weights is true; expected a number"},
      {with(good, "means", {{1, 2}}), "m.json: means holds 1 lists for 2 weights; give one a component"},
      {with(good, "means", {{1, 2}, {3}}), "m.json: means[1] holds 1 numbers; expected 2, as many as the shape has"},
      {with(good, "means", {{1, 2}, {3, 1e7}}), "m.json: means[1] holds 1e+07; expected at most 1e+06 either sign"},
      {with(good, "variances", {1}), "m.json: variances holds 1 entries for 2 weights; give one a component"},
      {with(good, "variances", {1, 0}), "m.json: variances[1] holds 0; expected 1e-12 to 1e+12"},
      {with(good, "variances", {{1, 1}, {1, 1, 1}}),
       "m.json: variances[1] holds 3 numbers; expected 2, as many as the shape has, or one"},
      {with(good, "variances", {{1, 1}, 1}), "m.json: variances is 1; expected a list"},
      {with(good, "classes", {0}),
       "m.json: classes holds 1 numbers for 2 weights; give one a component, or leave classes out"},
      {with(good, "classes", {0, 2}), "m.json: classes holds 2; expected 0 to 1"},
      {with(good, "classes", {1, 1}), "m.json: classes holds 1 but no 0; number them without gaps"},
  };
  for (const auto& [file, message] : cases)
    EXPECT_EQ(user_error([&] { mixture_config_from_json(file, "m.json", nullptr); }), message);
  for (const char* key : {"shape", "weights", "means", "variances"}) {
    Json missing = good;
    missing.erase(key);
    EXPECT_EQ(
        user_error([&] { mixture_config_from_json(missing, "m.json", nullptr); }),
        join_text("m.json: has no ", key, "; a Gaussian mixture has shape [C, H, W], weights, means and variances"));
  }
}

TEST(ToyConfig, IsWrittenAsItIsReadOrRefused) {
  for (const char* name : {"A", "B", "C", "S", "H"})
    EXPECT_EQ(to_json(toy_config_from_json(toy_json(name), "t.json", nullptr)), toy_json(name));
  const auto refused = [](const Json& file) {
    return user_error([&] { toy_config_from_json(file, "t.json", nullptr); });
  };
  EXPECT_EQ(refused(toy_json("D")), "t.json: name is 'D'; expected A, B, C, S or H");
  EXPECT_EQ(refused(toy_json("AB")), "t.json: name is 'AB'; expected A, B, C, S or H");
  EXPECT_EQ(refused(with(toy_json("A"), "shape", {1})), "t.json: shape holds 1 numbers; expected [C, H, W]");
  EXPECT_EQ(refused({{"name", "A"}}), "t.json: has no shape; a ToyNetwork has a name and a shape [C, H, W]");
}

// From a file alone, from a folder, and written again; none has weights.
TEST(ExactNetworks, AreReadFromWhereverAModelIs) {
  const TempFolder folder;
  for (const Json& file : {three_images(), toy_json("B")}) {
    const std::string text = json_text(file);
    const ModelOnDevice alone = load_model(folder.write("alone.json", text), 0, 0);
    EXPECT_EQ(alone.scheduler.num_train_timesteps, 1000);
    EXPECT_FALSE(alone.scheduler.clip_sample);
    EXPECT_EQ(alone.scheduler.prediction_type, Quantity::epsilon());
    EXPECT_EQ(parameters_of(alone.network).all().size(), 0u);
    folder.write("flat/config.json", text);
    EXPECT_EQ(load_model(folder / "flat", 0, 0).model.configured.config, file);
    SchedulerConfig clipped;
    write_model(folder / "written", alone.model.component(), clipped, {}, {}, nullptr);
    const ModelOnDevice again = load_model(folder / "written", 0, 0);
    EXPECT_EQ(again.model.configured.config, file);
    EXPECT_EQ(again.model.files.weights, "");
    EXPECT_TRUE(again.scheduler.clip_sample) << "the file says it";
    std::filesystem::remove_all(folder / "flat");
    std::filesystem::remove_all(folder / "written");
  }
}

class MixtureNetwork : public ::testing::Test {
 protected:
  static constexpr int kImages = 3;
  std::vector<float> level{0.999f, 0.04f, 0.6f, 0.8f, 0.1f, 0.995f};
  TempFolder folder;
  ModelOnDevice loaded = load_model(folder.write("m.json", json_text(three_images())), 0, 0);
  GaussianMixture mixture = mixture_config_from_json(three_images(), "m.json", nullptr).mixture();
  std::vector<float> sample = [this] {
    std::vector<float> x;
    for (uint32_t i = 0; i < kImages; ++i)
      for (const double value : mixture.sample(5, i)) x.push_back(static_cast<float>(0.7 * value));
    return x;
  }();
  std::vector<double> image(size_t i) const { return {sample.begin() + i * 16, sample.begin() + (i + 1) * 16}; }
};

TEST_F(MixtureNetwork, AnswersAsTheMixtureOnTheHost) {
  const std::vector<float> eps =
      predict(loaded.network, nullptr, DType::F32, 2, sample, std::vector<float>(kImages, 0.0f), {}, level);
  for (size_t i = 0; i < kImages; ++i) {
    const std::vector<double> want = mixture.expected_eps(image(i), level[2 * i], level[2 * i + 1]);
    for (size_t j = 0; j < 16; ++j) EXPECT_NEAR(eps[i * 16 + j], want[j], 1e-6 * (1 + std::fabs(want[j]))) << i;
  }
  EXPECT_THROW(predict(loaded.network, nullptr, DType::F32, 2, sample, std::vector<float>(kImages), {}), Error)
      << "it has to be told the level";
}

// J u, u of the size of the answer, against differences of the host's answer along u: J is symmetric.
TEST_F(MixtureNetwork, PullsBackThroughItsOwnHessian) {
  Stream stream;
  Denoiser denoiser(loaded.network, kImages, DType::F32, Denoiser::Gradient::Input);
  denoiser.bind(nullptr);
  denoiser.pack(stream);
  copy_to_device(stream, denoiser.sample().data, sample.data(), sample.size() * sizeof(float));
  copy_to_device(stream, denoiser.level(), level.data(), level.size() * sizeof(float));
  std::vector<float> along(sample.size());
  for (size_t i = 0; i < along.size(); ++i) along[i] = std::sin(0.7f * static_cast<float>(i) + 1);
  denoiser.evaluate(stream);
  copy_to_device(stream, denoiser.cotangent().data, along.data(), along.size() * sizeof(float));
  denoiser.pull_back(stream);
  std::vector<float> pulled(sample.size());
  copy_to_host(stream, pulled.data(), denoiser.input_gradient().data, pulled.size() * sizeof(float));
  const double step = 1e-5;
  for (size_t i = 0; i < kImages; ++i) {
    std::vector<double> above = image(i), below = above;
    for (size_t j = 0; j < 16; ++j) above[j] += step * along[i * 16 + j], below[j] -= step * along[i * 16 + j];
    const std::vector<double> high = mixture.expected_eps(above, level[2 * i], level[2 * i + 1]),
                              low = mixture.expected_eps(below, level[2 * i], level[2 * i + 1]);
    for (size_t j = 0; j < 16; ++j) {
      const double want = (high[j] - low[j]) / (2 * step);
      EXPECT_NEAR(pulled[i * 16 + j], want, 2e-6 * (1 + std::fabs(want))) << i << " " << j;
    }
  }
}

TEST_F(MixtureNetwork, IsOfOneSizeAndHasNothingToTrain) {
  EXPECT_EQ(
      user_error([&] { loaded.model.network(3, 4); }),
      (folder / "m.json") + ": is a mixture of 2 x 4 images, but 3 x 4 were asked for; leave height and width out");
  const NoiseSchedule schedule{SchedulerConfig{}};
  EXPECT_EQ(user_error([&] { Trainer(loaded.network, schedule, {}); }),
            "the network is an exact answer that asks for alpha and sigma of its sample; there is nothing to train");
  const ModelOnDevice toy = load_model(folder.write("toy.json", json_text(toy_json("A"))), 0, 0);
  TrainSettings settings;
  settings.learning_rate.steps = 1;
  EXPECT_EQ(user_error([&] { Trainer(toy.network, schedule, settings); }),
            "the network has no weights that could be trained");
}

TEST(ToyNetwork, AnswersAtItsTimestepOrLevel) {
  const TempFolder folder;
  std::vector<float> x(30);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.1f * static_cast<float>(i) - 1.5f;
  const auto ask = [&](const char* name, float t, const std::vector<float>& level) {
    const ModelOnDevice model = load_model(folder.write("t.json", json_text(toy_json(name))), 0, 0);
    return predict(model.network, nullptr, DType::F32, 1, x, {t}, {}, level);
  };
  const std::vector<float> a = ask("A", 3, {}), s = ask("S", 0, {0.5f, 2});
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(a[i], 0.75 * x[i], 1e-6);
    EXPECT_NEAR(s[i], -(x[i] - 0.5 * std::tanh(x[i])) / 16.25, 1e-6);
  }
}

}  // namespace
}  // namespace ito::test
