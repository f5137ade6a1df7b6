// SPDX-License-Identifier: Apache-2.0
// The two instruction-set variants of the cpu worker give the same bits: training, sampling and a network call, for two
// architectures that between them use every kernel, in fp32 and bf16.
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

// What the plain tiny model leaves out: scale_shift, resampling resnets and filters, dropout, odd widths, another
// embedding.
Json other_model() {
  Json model = tiny_model();
  model["in_channels"] = model["out_channels"] = 3;
  model["block_out_channels"] = {12, 20, 20};
  model["down_block_types"] = {"SkipDownBlock2D", "AttnDownBlock2D", "DownBlock2D"};
  model["up_block_types"] = {"AttnUpBlock2D", "SkipUpBlock2D", "SkipUpBlock2D"};
  model["attention_head_dim"] = 4;
  model["resnet_time_scale_shift"] = "scale_shift";
  model["downsample_type"] = "resnet";
  model["upsample_type"] = "resnet";
  model["dropout"] = 0.1;
  model["center_input_sample"] = true;
  model["time_embedding_type"] = "learned";
  model["num_train_timesteps"] = 1000;
  model["downsample_padding"] = 0;
  model["mid_block_scale_factor"] = 1.5;
  return model;
}

class Variants : public testing::TestWithParam<std::tuple<bool, const char*>> {};

TEST_P(Variants, GiveTheSameBits) {
  const Words programs{program_path("ito-cpu"), program_path("ito-cpu-v4")};
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "a sanitizer build has one variant only";
#endif
  if (!__builtin_cpu_supports("x86-64-v4")) GTEST_SKIP() << "this processor does not run x86-64-v4";
  for (const std::string& program : programs) ASSERT_TRUE(std::filesystem::exists(program)) << program;
  const auto& [other, precision] = GetParam();
  TinyRun tiny;
  if (other) tiny.folder.write("model.json", json_text(other_model()));
  const auto run_both = [&](const Words& words, const char* output_option) {
    for (const char* variant : {"v3", "v4"}) {
      const ChildResult result = run_child(Words{programs[variant[1] == '4']} + words +
                                           Words{"--precision", precision, output_option, tiny / (words[0] + variant)});
      ASSERT_EQ(result.exit_code, 0) << result.err;
    }
  };
  run_both(tiny.train + Words{"--steps", "20", "--flip", "--checkpoint-every", "10"}, "--out");
  for (const char* part : {"checkpoint-000010", "checkpoint-000020"})
    expect_same_files((tiny / "trainv3/") + part, (tiny / "trainv4/") + part);
  EXPECT_EQ(read_bytes(tiny / "trainv3/metrics.jsonl"), read_bytes(tiny / "trainv4/metrics.jsonl"));
  for (const Words& sampler :
       {Words{"--sampler", "ddpm", "--steps", "20"}, Words{"--sampler", "ddim", "--steps", "10", "--set", "eta=0.5"}}) {
    run_both(Words{"sample", "--checkpoint", tiny / "trainv3", "--count", "5", "--strip"} + sampler, "--out");
    expect_same_files(tiny / "samplev3", tiny / "samplev4");
  }
}

INSTANTIATE_TEST_SUITE_P(Command, Variants, testing::Combine(testing::Bool(), testing::Values("fp32", "bf16")),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param) ? "Other" : "Tiny") + std::get<1>(info.param);
                         });

}  // namespace
}  // namespace ito
