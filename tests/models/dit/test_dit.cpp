// SPDX-License-Identifier: Apache-2.0
// The diffusion transformer as published: golden outputs of a small network, tensor counts, its gradients, refusals.
#include "models/dit/dit.h"

#include <nlohmann/json.hpp>

#include "engine/reverse/predictor.h"
#include "models/architecture.h"
#include "tests/models/gradient_probe.h"

namespace ito::test {
namespace {

DiTConfig golden_config(const std::string& overrides = "{}") {
  nlohmann::json config = nlohmann::json::parse(R"({"sample_size": 8, "num_layers": 1, "patch_size": 2,
    "attention_head_dim": 8, "num_attention_heads": 2, "in_channels": 4, "out_channels": 8, "attention_bias": true,
    "activation_fn": "gelu-approximate", "num_embeds_ada_norm": 1000, "norm_type": "ada_norm_zero",
    "norm_elementwise_affine": false})");
  config.update(nlohmann::json::parse(overrides));
  return dit_config_from_json(config, "golden", nullptr);
}

// Weight tensor number k (names sorted), element i in file order = 0.1 sin(0.37 i + 0.11 k); input element i of
// (2, 4, 8, 8) is cos(0.05 i); values of diffusers 0.42.1.
TEST(DiT, ReproducesTheGoldenNetwork) {
  const Network network = dit_network(golden_config(), 8, 8);
  const ParameterLayout layout = parameters_of(network);
  EXPECT_EQ(layout.all().size(), 25u);
  EXPECT_EQ(layout.count(), 26608);
  std::vector<float> weights(layout.arena_floats(), 0.0f);
  int k = 0;
  for (const Parameter& p : layout.all()) {
    std::vector<float> values(p.count());
    for (int64_t i = 0; i < p.count(); ++i) values[i] = static_cast<float>(0.1 * std::sin(0.37 * i + 0.11 * k));
    from_file_layout(p, values, weights.data());
    ++k;
  }
  Stream stream;
  DeviceBuffer<float> device(weights.size(), "weights");
  device.upload(stream, weights.data());
  std::vector<float> planar(2 * 4 * 64);
  for (size_t i = 0; i < planar.size(); ++i) planar[i] = static_cast<float>(std::cos(0.05 * static_cast<double>(i)));
  const std::vector<float> sample = to_interleaved(planar, 2, {8, 8, 4});
  const std::vector<float> answer =
      predict(network, device.data(), DType::F32, 2, sample, {3.0f, 917.0f}, {1.0f, 7.0f});
  const std::vector<float> out = to_planar(answer, 2, {8, 8, 8});
  double sum = 0, magnitude = 0;
  for (const float v : out) sum += static_cast<double>(v), magnitude += std::fabs(static_cast<double>(v));
  EXPECT_NEAR(sum, 1.23879034, 1e-5 * 236.5448159);  // relative to the sum of magnitudes: the sum itself cancels
  EXPECT_NEAR(magnitude, 236.5448159, 1e-5 * 236.5448159);
  const double first[] = {0.1243228908, -0.1201609323, 0.1404468621, -0.1887129918};
  const double last[] = {0.1536275964, -0.2595629665, 0.2678294491, -0.3493671489};
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(out[i], first[i], 1e-5);
    EXPECT_NEAR(out[out.size() - 4 + i], last[i], 1e-5);
  }
}

TEST(DiT, BeginsWithBlocksThatPassOnAndAnAnswerOfZero) {
  const Network network = dit_network(golden_config(), 8, 8);
  const ParameterLayout layout = parameters_of(network);
  std::vector<float> weights = initial_weights(layout, 5);
  const auto answer = [&] {
    Stream stream;
    DeviceBuffer<float> device(weights.size(), "weights");
    device.upload(stream, weights.data());
    return predict(network, device.data(), DType::F32, 2, draws(2 * 64 * 4, 3), {3.0f, 917.0f}, {1.0f, 7.0f});
  };
  for (const float v : answer()) ASSERT_EQ(v, 0.0f);
  // With a last layer that answers, other blocks make no difference yet.
  const auto draw_again = [&](const std::string& part, uint64_t seed) {
    for (const Parameter& p : layout.all())
      if (p.name.find(part) != std::string::npos)
        for (int64_t i = 0; i < p.count(); ++i) weights[p.offset + i] = draw(seed, 1, static_cast<uint32_t>(i));
  };
  draw_again("proj_out_2", 1);
  const std::vector<float> want = answer();
  EXPECT_NE(want, std::vector<float>(want.size(), 0.0f));
  draw_again(".ff.", 2), draw_again(".attn1.", 3);
  EXPECT_EQ(answer(), want);
}

// DiT-XL/2 for images of 256 x 256, as it is published for diffusers: an embedding of time and class a block.
TEST(DiT, CountsThePublishedModel) {
  DiTConfig config;
  config.out_channels = 8;
  const int64_t d = 1152, table = 1001 * d, time = 256 * d + d + d * d + d, modulation = 6 * (d * d + d);
  const int64_t attention = 4 * (d * d + d), feed_forward = 8 * d * d + 5 * d;
  const int64_t ends = 16 * d + d + 2 * (d * d + d) + 32 * d + 32;
  EXPECT_EQ(parameters_of(dit_network(config, 32, 32)).count(),
            28 * (table + time + modulation + attention + feed_forward) + ends);
  EXPECT_EQ(dit_network(config, 32, 32).no_class(), 1000) << "the table's last row";
  EXPECT_EQ(dit_network(config, 32, 32).real_classes(), 1000);
}

Network tiny_dit(const std::string& overrides) {
  nlohmann::json small = nlohmann::json::parse(R"({"num_layers": 2, "num_embeds_ada_norm": 3, "in_channels": 3,
    "out_channels": 3, "sample_size": 4})");
  small.update(nlohmann::json::parse(overrides));
  return dit_network(golden_config(small.dump()), 4, 4);
}

TEST(DiT, GradientsMatchFiniteDifferences) {
  set_device_threads(1);  // the network is too small for more
  for (const char* overrides :
       {"{}", R"({"norm_elementwise_affine": true, "activation_fn": "gelu", "dropout": 0.2, "out_channels": 6})"}) {
    if (in_sim() && overrides[1] != '}') continue;  // the formulas are those that the cpu is shown with
    check_parameters(overrides, tiny_dit(overrides), in_sim() || on_gpu() ? Directions{1, 1} : Directions{0, 1});
    check_input(overrides, tiny_dit(overrides), 1);
  }
  set_device_threads(0);
}

TEST(DiT, ConfigurationsRoundTripAndRefuseWhatIsNotImplemented) {
  const DiTConfig config = golden_config(R"({"out_channels": null, "norm_eps": 1e-6, "dropout": 0.1})");
  std::vector<std::string> warnings;
  EXPECT_EQ(to_json(dit_config_from_json(to_json(config), "again", &warnings)), to_json(config));
  EXPECT_TRUE(warnings.empty());
  EXPECT_EQ(dit_network(config, 8, 8).out_channels, 4);
  for (const char* bad : {R"({"norm_type": "layer_norm"})", R"({"activation_fn": "geglu"})", R"({"patch_size": 3})",
                          R"({"attention_bias": false})", R"({"num_embeds_ada_norm": null})", R"({"num_layers": 0})",
                          R"({"attention_head_dim": 3, "num_attention_heads": 1})"})
    EXPECT_THROW(golden_config(bad), UserError) << bad;
}

}  // namespace
}  // namespace ito::test
