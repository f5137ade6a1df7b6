// SPDX-License-Identifier: Apache-2.0
// Training with the variational bound: of a fixed variance it is a weighted squared error, whose weights are known; of
// a learned one the same bits however the step is cut, and a variance that goes where the data's is.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "engine/training/trainer.h"
#include "tests/engine/user_error.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

constexpr int kTimesteps = 100;

SchedulerConfig scheduler(VarianceType variance) {
  SchedulerConfig config;
  config.num_train_timesteps = kTimesteps;
  config.reverse = "vlb";
  config.variance_type = variance;
  return config;
}

TrainSettings settings_of(int batch, TrainLoss loss) {
  TrainSettings s;
  s.batch = batch;
  s.seed = 41;
  s.learning_rate = {2e-3, learning_rate_of("constant", ""), 0, 1000};
  s.loss = loss;
  return s;
}

struct Outcome {
  std::vector<float> gradients, weights;
  double loss;
  LevelStatistics statistics;
};

Outcome train(const Network& network, const SchedulerConfig& config, const TrainSettings& settings, int steps) {
  Trainer trainer(network, NoiseSchedule(config), settings);
  trainer.set_weights(busy_weights(trainer.layout(), 5));
  for (int i = 0; i < steps; ++i)
    trainer.step(draws(settings.batch * network.image.size(), 1000 + static_cast<uint64_t>(i)).data(), nullptr);
  return {trainer.download(Trainer::Arena::Gradients), trainer.download(Trainer::Arena::Weights),
          trainer.state().last_loss, trainer.statistics()};
}

class BoundTraining : public ::testing::Test {
 protected:
  void SetUp() override { set_device_threads(std::string(device_name()) == "sim" ? 0 : 1); }
  void TearDown() override { set_device_threads(0); }
};

// With the posterior's own variance a term is (SNR(t-1) - SNR(t)) / 2 |x0 - D|^2 (Kingma et al. 2021, eq. 13): a weight
// of the squared error, found here by the signal-to-noise ratio. Equal but for fp32: of x0 - D, which a squared error
// of eps never forms, some roundings of numbers of the size of sigma / alpha times eps.
TEST_F(BoundTraining, OfAFixedVarianceIsAWeightedSquaredError) {
  const Network network = tiny_network();
  const SchedulerConfig config = scheduler(VarianceType::FixedSmall);
  const Levels levels{NoiseSchedule(config)};
  std::vector<double> ratios;
  for (int t = 0; t < kTimesteps; ++t) ratios.push_back(levels.at(t).abar / (1 - levels.at(t).abar));
  const Weighting of_bound{.name = "of the bound",
                           .summary = "",
                           .numbers = {},
                           .weights = [](double snr, std::span<const double> all) -> ErrorWeights {
                             size_t t = 0;
                             while (t + 1 < all.size() && std::fabs(all[t] / snr - 1) > 1e-9) ++t;
                             const double of_x0 = t == 0 ? 0 : kTimesteps / std::numbers::ln2 * (all[t - 1] - snr) / 2;
                             return {of_x0 / snr, of_x0};
                           }};
  TrainSettings squared = settings_of(8, TrainLoss::Squared);
  squared.weighting = LossWeighting(&of_bound, ratios);
  const Outcome want = train(network, config, squared, 1);
  const Outcome got = train(network, config, settings_of(8, TrainLoss::Bound), 1);
  ASSERT_EQ(got.statistics.images[0], 0) << "no image is at the first timestep, which has another term";
  EXPECT_NEAR(got.loss / want.loss, 1, 1e-5);
  double norm = 0, apart = 0;
  for (size_t i = 0; i < want.gradients.size(); ++i) {
    norm += std::pow(static_cast<double>(want.gradients[i]), 2);
    apart += std::pow(static_cast<double>(got.gradients[i]) - static_cast<double>(want.gradients[i]), 2);
  }
  EXPECT_GT(norm, 0);
  EXPECT_LT(std::sqrt(apart / norm), 1e-5);
  // The errors by timestep are those of the answer, whatever the loss: here the other's without its weights.
  for (int t = 1; t < kTimesteps; ++t) EXPECT_NEAR(got.statistics.error[t], want.statistics.error[t], 1e-5) << t;
}

TEST_F(BoundTraining, CutsAndCaptureDoNotChangeTheBits) {
  const Network network = tiny_network(R"({"out_channels": 6})");
  const SchedulerConfig config = scheduler(VarianceType::LearnedRange);
  const int chunk = images_per_chunk();
  for (const TrainLoss loss : {TrainLoss::Hybrid, TrainLoss::Bound}) {
    SCOPED_TRACE(name_of(loss));
    TrainSettings settings = settings_of(2 * chunk, loss);
    const Outcome whole = train(network, config, settings, 2);
    settings.micro_batch = chunk;
    settings.capture = false;
    const Outcome cut = train(network, config, settings, 2);
    EXPECT_EQ(std::memcmp(whole.weights.data(), cut.weights.data(), whole.weights.size() * sizeof(float)), 0);
    EXPECT_EQ(whole.loss, cut.loss);
    EXPECT_EQ(whole.statistics.error, cut.statistics.error);
    if (kSanitized) break;
  }
}

// The answers are taught by the squared error alone: the filters of the last layer that make them get the gradient that
// they have in a network without a variance, whose other weights are the same.
TEST_F(BoundTraining, HybridLeavesTheMeanToTheSquaredError) {
  const Network wide = tiny_network(R"({"out_channels": 6})"), narrow = tiny_network();
  const auto last_layer = [](const Network& network) {
    const ParameterLayout layout = parameters_of(network);
    for (const Parameter& p : layout.all())
      if (p.name == "conv_out.weight") return p;
    return Parameter{};
  };
  const Parameter of_wide = last_layer(wide), of_narrow = last_layer(narrow);
  ASSERT_EQ(of_wide.count(), 2 * of_narrow.count());
  const Outcome hybrid = train(wide, scheduler(VarianceType::LearnedRange), settings_of(8, TrainLoss::Hybrid), 1);
  const Outcome squared = train(narrow, scheduler(VarianceType::FixedSmall), settings_of(8, TrainLoss::Squared), 1);
  double largest = 0, apart = 0, of_variance = 0;
  for (int64_t i = 0; i < of_narrow.count(); ++i) {
    const double want = squared.gradients[of_narrow.offset + i];
    largest = std::max(largest, std::fabs(want));
    apart = std::max(apart, std::fabs(want - static_cast<double>(hybrid.gradients[of_wide.offset + i])));
    of_variance += std::fabs(hybrid.gradients[of_wide.offset + of_narrow.count() + i]);
  }
  EXPECT_GT(largest, 0);
  EXPECT_LT(apart, 1e-5 * largest);
  EXPECT_GT(of_variance, 0);
}

// On one set of images again and again the bound's part, which is what the loss has beside the squared errors, falls.
TEST_F(BoundTraining, HybridTeachesTheVariance) {
  const Network network = tiny_network(R"({"out_channels": 6})");
  const SchedulerConfig config = scheduler(VarianceType::LearnedRange);
  const int steps = std::string(device_name()) != "sim" ? 150 : kSanitized ? 1 : 2;
  TrainSettings settings = settings_of(16, TrainLoss::Hybrid);
  Trainer trainer(network, NoiseSchedule(config), settings);
  trainer.set_weights(busy_weights(trainer.layout(), 5));
  const std::vector<float> image = draws(settings.batch * network.image.size(), 7);
  const auto squared_share = [&] {
    const LevelStatistics statistics = trainer.statistics();
    double images = 0, sum = 0;
    for (int t = 0; t < kTimesteps; ++t) images += statistics.images[t], sum += statistics.error[t];
    return sum / images;
  };
  trainer.step(image.data(), nullptr);
  const double first_bound = trainer.state().last_loss - squared_share();
  EXPECT_GT(first_bound, 0);
  for (int i = 1; i < steps; ++i) trainer.step(image.data(), nullptr);
  EXPECT_EQ(trainer.state().skipped, 0);
  if (steps < 100) return;
  trainer.set_statistics({std::vector<double>(kTimesteps, 0.0), std::vector<double>(kTimesteps, 0.0), {}, {}});
  trainer.step(image.data(), nullptr);
  EXPECT_LT(trainer.state().last_loss - squared_share(), first_bound / 2);
}

TEST_F(BoundTraining, LossesThatCannotBe) {
  const auto message = [](const char* loss, VarianceType variance, const char* reverse) {
    SchedulerConfig config = scheduler(variance);
    config.reverse = reverse;
    return user_error([&] { train_loss_of(loss, config, "loss"); });
  };
  using enum VarianceType;
  EXPECT_EQ(message("hybird", LearnedRange, "vlb"),
            "loss 'hybird': is not known; use one of squared, hybrid, bound; did you mean 'hybrid'?");
  EXPECT_EQ(message("squared", LearnedRange, "vlb"),
            "loss squared: teaches no variance, and variance_type is learned_range; use hybrid or bound");
  EXPECT_EQ(message("hybrid", FixedSmall, "posterior"),
            "loss hybrid: is for a learned variance, and variance_type is fixed_small; use squared or bound, or "
            "variance_type learned_range");
  EXPECT_EQ(message("bound", FixedSmall, "marginal"),
            "loss bound: reverse marginal takes its variance from what was measured of the network, so that it has no "
            "bound to train with; use squared, or another reverse option");
  EXPECT_EQ(train_loss_of("", scheduler(LearnedRange), "loss"), TrainLoss::Hybrid);
  EXPECT_EQ(train_loss_of("", scheduler(FixedLarge), "loss"), TrainLoss::Squared);
  EXPECT_EQ(user_error([] {
              Trainer(tiny_network(), NoiseSchedule(scheduler(LearnedRange)), settings_of(4, TrainLoss::Hybrid));
            }),
            "the network has 3 output channels for 3 of data; with variance_type learned_range training expects 6");
}

}  // namespace
}  // namespace ito::test
