// SPDX-License-Identifier: Apache-2.0
// JiT: how it begins, tensor counts, its gradients, its own path of noise, guidance, refusals. Its outputs are held
// against PyTorch's in tests/only/cpu/test_unet_parity.cpp.
#include "models/jit/jit.h"

#include <nlohmann/json.hpp>

#include "engine/diffusion/quantity.h"
#include "engine/program/guided_network.h"
#include "engine/reverse/predictor.h"
#include "models/model.h"
#include "tests/models/gradient_probe.h"

namespace ito::test {
namespace {

constexpr int kSide = 4;

JiTConfig small_config(const std::string& overrides = "{}") {
  nlohmann::json config = nlohmann::json::parse(R"({"sample_size": 4, "in_channels": 2, "patch_size": 2,
    "bottleneck_dim": 6, "num_layers": 4, "num_attention_heads": 2, "attention_head_dim": 8, "num_classes": 3,
    "context_length": 2, "context_start": 1})");
  config.update(nlohmann::json::parse(overrides));
  return jit_config_from_json(config, "small", nullptr);
}

Network small_jit(const std::string& overrides = "{}") {
  return jit_network(small_config(overrides), kSide, kSide);
}

std::vector<float> ask(const Network& network, const std::vector<float>& weights, const std::vector<float>& sample,
                       const std::vector<float>& timesteps, const std::vector<float>& labels,
                       DType compute = DType::F32) {
  Stream stream;
  DeviceBuffer<float> device(weights.size(), "weights");
  device.upload(stream, weights.data());
  return predict(network, device.data(), compute, static_cast<int>(timesteps.size()), sample, timesteps, labels);
}

TEST(JiT, BeginsWithBlocksThatPassOnAndAnAnswerOfZero) {
  const Network network = small_jit();
  const ParameterLayout layout = parameters_of(network);
  std::vector<float> weights = initial_weights(layout, 5);
  const std::vector<float> sample = draws(2 * network.image.size(), 3);
  const auto answer = [&] { return ask(network, weights, sample, {3, 917}, {1, 3}); };
  for (const float v : answer()) ASSERT_EQ(v, 0.0f);
  // With a last layer that answers, other blocks make no difference yet.
  const auto draw_again = [&](const std::string& part, uint64_t seed) {
    for (const Parameter& p : layout.all())
      if (p.name.find(part) != std::string::npos)
        for (int64_t i = 0; i < p.count(); ++i) weights[p.offset + i] = draw(seed, 1, static_cast<uint32_t>(i));
  };
  draw_again("final_layer.linear", 1);
  const std::vector<float> want = answer();
  EXPECT_NE(want, std::vector<float>(want.size(), 0.0f));
  draw_again(".mlp.w", 2), draw_again(".attn.", 3);
  EXPECT_EQ(answer(), want);
}

// What the authors state of B/16, L/16 and H/16: 131, 459 and 953 million.
TEST(JiT, CountsThePublishedModels) {
  for (const auto& [name, millions] : {std::pair{"jit-b-16", 131}, {"jit-l-16", 459}, {"jit-h-16", 953}}) {
    const ParameterLayout layout = parameters_of(named_model(name).network());
    EXPECT_NEAR(static_cast<double>(layout.count()) / 1e6, millions, 1) << name;
  }
  EXPECT_EQ(small_jit().no_class(), 3) << "the table's last row";
  EXPECT_EQ(small_jit(R"({"num_classes": null})").labels, LabelKind::None);
  // int(int(4 C) 2 / 3).
  EXPECT_EQ(small_config(R"({"num_attention_heads": 16, "attention_head_dim": 64})").hidden(), 2730);
  EXPECT_EQ(small_config(R"({"num_attention_heads": 16, "attention_head_dim": 80})").hidden(), 3413);
}

TEST(JiT, GradientsMatchFiniteDifferences) {
  set_device_threads(1);  // the network is too small for more
  for (const char* overrides : {"{}", R"({"dropout": 0.2, "noise_scale": 2, "context_start": 0, "mlp_ratio": 3.3})"}) {
    if (in_sim() && overrides[1] != '}') continue;  // the formulas are those that the cpu is shown with
    check_parameters(overrides, small_jit(overrides), in_sim() || on_gpu() ? Directions{1, 1} : Directions{0, 0});
    check_input(overrides, small_jit(overrides), 1);
  }
  set_device_threads(0);
}

// Noise twice as large is the same network at the same noise to signal: at u of the state (1 - u) x0 + u eps it reads
// (1 - v) x0 + 2 v eps, v = u / (2 - u), which is 2 / (2 - u) times that state.
TEST(JiT, LargerNoiseIsAnotherPathOfTheSameNetwork) {
  const Network one = small_jit(), two = small_jit(R"({"noise_scale": 2})");
  const std::vector<float> weights = busy_weights(parameters_of(one), 7), sample = draws(one.image.size(), 4);
  for (const double u : {0.001, 0.4, 1.0}) {
    std::vector<float> own = sample;
    for (float& x : own) x = static_cast<float>(x * 2 / (2 - u));
    const std::vector<float> want = ask(one, weights, own, {static_cast<float>(1000 * u / (2 - u))}, {1});
    const std::vector<float> got = ask(two, weights, sample, {static_cast<float>(1000 * u)}, {1});
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-5) << u;
  }
}

// Guidance of 1 is none, in every bit; an image's answer knows nothing of its batch; and bf16 computes the same
// network.
TEST(JiT, AnswersAlikeGuidedByOneAndInAnyBatch) {
  const Network network = small_jit();
  const std::vector<float> weights = busy_weights(parameters_of(network), 7);
  const size_t size = network.image.size();
  const std::vector<float> sample = draws(3 * size, 4), labels = {2, 0, 1}, times = {3, 500, 1000};
  const std::vector<float> want = ask(network, weights, sample, times, labels);
  EXPECT_EQ(ask(guided(network, {always(1), {}}), weights, sample, times, labels), want);
  EXPECT_NE(ask(guided(network, {always(2), {}}), weights, sample, times, labels), want);
  for (size_t i = 0; i < 3; ++i) {
    const std::vector<float> alone(sample.begin() + i * size, sample.begin() + (i + 1) * size);
    EXPECT_EQ(ask(network, weights, alone, {times[i]}, {labels[i]}),
              std::vector<float>(want.begin() + i * size, want.begin() + (i + 1) * size));
  }
  if (!device_has_bf16()) return;
  const std::vector<float> rounded = ask(network, weights, sample, times, labels, DType::BF16);
  double difference = 0;
  for (size_t i = 0; i < want.size(); ++i) difference += std::pow(rounded[i] - want[i], 2);
  EXPECT_LT(std::sqrt(difference), 0.05 * norm_of(want));
  EXPECT_NE(rounded, want);
}

TEST(JiT, ConfigurationsRoundTripAndRefuseWhatCannotBe) {
  const JiTConfig config = small_config(R"({"num_classes": null, "norm_eps": 1e-5, "dropout": 0.1,
    "sample_size": [4, 8], "noise_scale": 2.0})");
  std::vector<std::string> warnings;
  EXPECT_EQ(to_json(jit_config_from_json(to_json(config), "again", &warnings)), to_json(config));
  EXPECT_TRUE(warnings.empty());
  for (const char* bad :
       {R"({"patch_size": 3})", R"({"attention_head_dim": 6})", R"({"num_layers": 0})", R"({"context_start": 4})",
        R"({"num_classes": 0})", R"({"mlp_ratio": 0})", R"({"noise_scale": 0})", R"({"dropout": 1})",
        R"({"sample_size": [4, 6, 8]})", R"({"sample_size": [4, 7]})", R"({"context_length": -1})"})
    EXPECT_THROW(small_config(bad), UserError) << bad;
  // A context that is nowhere has no place to be wrong.
  EXPECT_NO_THROW(small_config(R"({"context_start": 40, "context_length": 0})"));
  // What is published of training comes with the architecture.
  const Model large = named_model("jit-b-32");
  EXPECT_EQ(large.configured.training.loss_weighting, "velocity:noise_scale=2");
  EXPECT_EQ(large.configured.training.timestep_sampling, "logit-normal:mean=1.49315,std=0.8");
  EXPECT_EQ(large.configured.scheduler->sampler_keys.at("shift"), 2.0);
  EXPECT_EQ(large.configured.scheduler->prediction_type, Quantity::x0());
}

}  // namespace
}  // namespace ito::test
