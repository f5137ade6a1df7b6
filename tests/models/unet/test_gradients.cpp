// SPDX-License-Identifier: Apache-2.0
// Gradients of the whole UNet in every variant of the architecture (gradient_probe.h).
#include "tests/models/gradient_probe.h"

namespace ito::test {
namespace {

struct Variant {
  const char* name;
  const char* overrides;
};

class Gradients : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override { set_device_threads(1); }  // the network is too small for more
  void TearDown() override { set_device_threads(0); }
};

// A GPU waits for some hundred launches of small kernels a loss, so there it is the one direction that sees most; the
// formulas are those that the cpu is shown with.
TEST_P(Gradients, OfEveryParameterMatchFiniteDifferences) {
  check_parameters(GetParam().overrides, tiny_network(GetParam().overrides),
                   on_gpu() ? Directions{1, 1}
                            : Directions{0, kSanitized ? 0
                                            : in_sim() ? 1
                                                       : 2});
}

TEST_P(Gradients, OfTheInputMatchFiniteDifferences) {
  check_input(GetParam().overrides, tiny_network(GetParam().overrides), in_sim() ? 1 : 4);
}

INSTANTIATE_TEST_SUITE_P(
    Variants, Gradients,
    ::testing::Values(Variant{"plain", "{}"}, Variant{"scale_shift", R"({"resnet_time_scale_shift": "scale_shift"})"},
                      Variant{"padding_0", R"({"downsample_padding": 0, "freq_shift": 1, "flip_sin_to_cos": false})"},
                      Variant{"resnet_resampling",
                              R"({"downsample_type": "resnet", "upsample_type": "resnet",
                    "down_block_types": ["AttnDownBlock2D", "DownBlock2D"]})"},
                      // The norm before attention has 32 groups there.
                      Variant{"skip_blocks", R"({"block_out_channels": [8, 32], "norm_num_groups": null,
                    "down_block_types": ["SkipDownBlock2D", "AttnSkipDownBlock2D"],
                    "up_block_types": ["SkipUpBlock2D", "SkipUpBlock2D"]})"},
                      Variant{"class_table", R"({"num_class_embeds": 4})"},
                      Variant{"class_timestep", R"({"class_embed_type": "timestep"})"},
                      Variant{"mid_scale", R"({"mid_block_scale_factor": 1.7, "center_input_sample": true})"},
                      Variant{"dropout", R"({"dropout": 0.3})"},
                      Variant{"learned_time", R"({"time_embedding_type": "learned", "num_train_timesteps": 700})"},
                      Variant{"fourier_time", R"({"time_embedding_type": "fourier"})"}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ito::test
