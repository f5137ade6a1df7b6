// SPDX-License-Identifier: Apache-2.0
// The autoencoder's decoder against diffusers 0.31 in fp64 (weights as tiny_autoencoder.h has them, element i of two
// codes (N, C, h, w) is cos(0.05 i)); that an image does not know its batch; refusals.
#include "models/latent_decoder.h"

#include <gtest/gtest.h>

#include "engine/io/layout.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/models/tiny_autoencoder.h"

namespace ito::test {
namespace {

struct Golden {
  Json overrides;
  int h, w;
  size_t tensors;
  int64_t parameters;
  double sum, sum_abs;
  double first[4], last[4];
};

std::vector<float> codes_of(const LatentDecoder& decoder, int h, int w) {
  const ImageShape shape{h, w, decoder.channels()};
  std::vector<float> planar(2 * shape.size());
  for (size_t i = 0; i < planar.size(); ++i) planar[i] = static_cast<float>(std::cos(0.05 * static_cast<double>(i)));
  return to_interleaved(planar, 2, shape);
}

std::vector<float> decoded(const LatentDecoder& decoder, const std::vector<float>& codes, int h, int w, int batch) {
  std::vector<float> all;
  int64_t next = 0;
  decoder.decode(codes, h, w, batch, DType::F32, SIZE_MAX, [&](int64_t first, int64_t n, const auto& images) {
    EXPECT_EQ(first, next);
    next += n;
    all.insert(all.end(), images.begin(), images.end());
  });
  EXPECT_EQ(next, 2);
  return all;
}

TEST(LatentDecoder, ComputesWhatDiffusersDoes) {
  const Golden goldens[] = {{Json::object(),
                             6,
                             5,
                             70,
                             26231,
                             23.26977302,
                             279.727676,
                             {-0.01397160047, -0.3017557653, -0.3866202017, -0.1895723045},
                             {0.06635458585, 0.04975185779, 0.02702662685, 0.03036367815}},
                            {{{"block_out_channels", {8}},
                              {"latent_channels", 3},
                              {"up_block_types", {"UpDecoderBlock2D"}},
                              {"use_post_quant_conv", false},
                              {"mid_block_add_attention", false},
                              {"layers_per_block", 2},
                              {"out_channels", 1}},
                             4,
                             4,
                             46,
                             6313,
                             5.32808641,
                             10.62173616,
                             {0.008272662369, 0.1475955052, 0.2193724173, 0.1806732579},
                             {0.2575712723, 0.6168530891, 0.7181638895, 0.468906368}}};
  const TempFolder folder;
  for (const Golden& golden : goldens) {
    const Json config = tiny_autoencoder(golden.overrides);
    const ParameterLayout layout = decoder_parameters(autoencoder_config_from_json(config, "tiny", nullptr));
    EXPECT_EQ(layout.all().size(), golden.tensors);
    EXPECT_EQ(layout.count(), golden.parameters);
    const LatentDecoder decoder = LatentDecoder::open(write_autoencoder(folder, "model", config));
    const std::vector<float> codes = codes_of(decoder, golden.h, golden.w);
    const std::vector<float> images = decoded(decoder, codes, golden.h, golden.w, 2);
    EXPECT_EQ(decoded(decoder, codes, golden.h, golden.w, 1), images);
    EXPECT_EQ(decoded(decoder, codes, golden.h, golden.w, 3), images);
    const ImageShape shape{golden.h * decoder.side_factor(), golden.w * decoder.side_factor(),
                           decoder.image_channels()};
    const std::vector<float> out = to_planar(images, 2, shape);
    double sum = 0, sum_abs = 0;
    for (const float v : out) sum += v, sum_abs += std::fabs(v);
    EXPECT_NEAR(sum, golden.sum, 2e-5 * golden.sum_abs);
    EXPECT_NEAR(sum_abs, golden.sum_abs, 2e-5 * golden.sum_abs);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(out[i], golden.first[i], 2e-5) << i;
      EXPECT_NEAR(out[out.size() - 4 + i], golden.last[i], 2e-5) << i;
    }
  }
}

TEST(LatentDecoder, Refusals) {
  const TempFolder folder;
  const auto refused = [&](const Json& overrides) {
    const Json config = tiny_autoencoder(overrides);
    return message_of([&] { autoencoder_config_from_json(config, "f", nullptr); });
  };
  EXPECT_NE(refused({{"_class_name", "VQModel"}}).find("\"VQModel\"; expected AutoencoderKL"), std::string::npos);
  EXPECT_NE(refused({{"latents_mean", {0.0}}}).find("latents_mean is given"), std::string::npos);
  EXPECT_NE(refused({{"act_fn", "gelu"}}).find("use silu"), std::string::npos);
  EXPECT_NE(refused({{"norm_num_groups", 3}}).find("does not divide"), std::string::npos);
  EXPECT_NE(refused({{"block_out_channels", {8}}}).find("2 names for the 1 numbers"), std::string::npos);
  EXPECT_NE(refused({{"up_block_types", {"UpDecoderBlock2D", "Other"}}}).find("Other"), std::string::npos);
  EXPECT_NE(refused({{"block_out_channels", {8, 1024}}}).find("one head of 1024"), std::string::npos);
  EXPECT_NE(message_of([&] { LatentDecoder::open(folder / "none"); }).find("found neither vae/config.json"),
            std::string::npos);
  // Another tensor than the encoder's is refused as anywhere.
  const std::string model = write_autoencoder(folder, "model", tiny_autoencoder());
  std::filesystem::create_directories(folder / "narrow/vae");
  std::filesystem::copy(model + "/vae/diffusion_pytorch_model.safetensors", folder / "narrow/vae");
  folder.write("narrow/vae/config.json", json_text(tiny_autoencoder({{"use_post_quant_conv", false}})));
  EXPECT_NE(message_of([&] { LatentDecoder::open(folder / "narrow"); }).find("post_quant_conv"), std::string::npos);
}

}  // namespace
}  // namespace ito::test
