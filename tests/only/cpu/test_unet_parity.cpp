// SPDX-License-Identifier: Apache-2.0
// The UNet and the transformers against PyTorch: outputs and every gradient of random networks that scripts of
// tests/parity draw and evaluate in fp64.
#include <map>

#include "models/unet/unet.h"
#include "tests/only/cpu/parity_case.h"

namespace ito {
namespace {

constexpr int kCases = 24;

class UNetParity : public WithTorch {
 protected:
  static void SetUpTestSuite() {
    if (has_torch()) draw_cases(kFolder, {"make_cases.py", "unet_reference.py", "safetensors_io.py"}, kCases);
  }
  static std::string folder_of(int i) { return join_text(kFolder, "/case-", i < 10 ? "0" : "", i); }
  static Case load(int i) { return load_case(folder_of(i), "unet"); }
  static constexpr const char* kFolder = ITO_BINARY_DIR "/tests/parity-cases";
};

TEST_F(UNetParity, OutputsAndParameterGradients) {
  Worst output, gradient;
  std::vector<int> labels(3, 0);
  int shared = 0;
  for (int i = 0; i < kCases; ++i) {
    const Case c = load(i);
    SCOPED_TRACE(c.name);
    ++labels[static_cast<int>(c.network.labels)];
    if (c.config.at("time_embedding_type") == "learned" && c.config.at("class_embed_type") == "timestep") {
      Program program({c.n, Mode::Training, DType::F32});  // one table for times and labels
      EXPECT_EQ(message_of([&] { plan_network(program, c.network); }),
                "time_proj: shares time_proj.weight with another op; training a shared parameter is not implemented, "
                "give each op its own");
      ++shared;
      continue;
    }
    Evaluation run(c, Mode::Training, DType::F32);
    const double error = output_error(c, run.output);
    EXPECT_LE(error, kOutputBound);
    output.take(error, c.name);

    expect_gradients(c, run, gradient);
  }
  for (LabelKind kind : {LabelKind::None, LabelKind::Index, LabelKind::Value})
    EXPECT_GT(labels[static_cast<int>(kind)], 0) << "no case has labels of kind " << static_cast<int>(kind);
  EXPECT_LT(shared, 4) << "of " << kCases;
  std::printf("worst output %.2g (%s), worst parameter gradient %.2g (%s)\n", output.value, output.where.c_str(),
              gradient.value, gradient.where.c_str());
}

TEST_F(UNetParity, InputGradients) {
  Worst worst;
  for (int i = 0; i < kCases; ++i) {
    const Case c = load(i);
    SCOPED_TRACE(c.name);
    expect_input_gradient(c, worst);
  }
  std::printf("worst input gradient %.2g (%s)\n", worst.value, worst.where.c_str());
}

TEST_F(UNetParity, OutputsInBf16) {
  if (!device_has_bf16()) GTEST_SKIP() << "this processor has no bf16 products";
  Worst worst;
  for (int i = 0; i < kCases; ++i) {
    const Case c = load(i);
    SCOPED_TRACE(c.name);
    expect_bf16_output(c, worst);
  }
  std::printf("worst bf16 output %.2g of its norm (%s)\n", worst.value, worst.where.c_str());
}

TEST_F(UNetParity, RefusesOtherActivations) {
  Json config = read_json_file(folder_of(0) + "/unet/config.json");
  for (const char* act_fn : {"mish", "gelu", "relu", "SiLU", ""}) {
    config["act_fn"] = act_fn;
    EXPECT_EQ(message_of([&] { unet_config_from_json(config, "config.json", nullptr); }),
              join_text("config.json: act_fn is '", act_fn, "', which is not implemented; use silu, swish"));
  }
  for (const char* act_fn : {"silu", "swish"}) {
    config["act_fn"] = act_fn;
    EXPECT_EQ(unet_config_from_json(config, "config.json", nullptr).act_fn, act_fn);
  }
}

// Diffusion transformers: a half of the cases are DiTs, the other JiTs.
class TransformerParity : public WithTorch {
 protected:
  static constexpr int kCases = 8;
  static void SetUpTestSuite() {
    if (has_torch())
      draw_cases(kFolder, {"make_transformer_cases.py", "transformer_reference.py", "make_cases.py"}, kCases);
  }
  static constexpr const char* kFolder = ITO_BINARY_DIR "/tests/transformer-cases";
};

TEST_F(TransformerParity, OutputsAndGradients) {
  Worst output, gradient, input, bf16;
  std::map<std::string, int> classes;
  for (int i = 0; i < kCases; ++i) {
    const Case c = load_case(join_text(kFolder, "/case-0", i), "transformer");
    SCOPED_TRACE(c.name);
    ++classes[c.config.at("_class_name")];
    Evaluation run(c, Mode::Training, DType::F32);
    const double error = output_error(c, run.output);
    EXPECT_LE(error, kOutputBound);
    output.take(error, c.name);
    expect_gradients(c, run, gradient);
    expect_input_gradient(c, input);
    if (device_has_bf16()) expect_bf16_output(c, bf16);
  }
  EXPECT_EQ(classes, (std::map<std::string, int>{{"DiTTransformer2DModel", 4}, {"JiTTransformer2DModel", 4}}));
  std::printf("worst output %.2g (%s), parameter gradient %.2g (%s), input gradient %.2g (%s), bf16 output %.2g (%s)\n",
              output.value, output.where.c_str(), gradient.value, gradient.where.c_str(), input.value,
              input.where.c_str(), bf16.value, bf16.where.c_str());
}

}  // namespace
}  // namespace ito
