// SPDX-License-Identifier: Apache-2.0
// The promise of README.md at the demo model's real size, from outside: image i and the trained weights have the
// same bits for every batch, thread count, micro-batch and first index, with whatever instruction set oneDNN is allowed
// (capped at AVX2 its products change with the batch if they are left to themselves).
#include <cstdlib>

#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

constexpr int kSize = 28, kImages = 64;

struct EnvironmentGuard {
  explicit EnvironmentGuard(const char* isa) {
    if (isa) setenv("ONEDNN_MAX_CPU_ISA", isa, 1);
  }
  ~EnvironmentGuard() { unsetenv("ONEDNN_MAX_CPU_ISA"); }
};

class SameBits : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "minutes at this size; the tiny model takes the same roads under sanitizers";
#endif
  }
  SameBits() : isa_(GetParam()) {
    std::vector<uint8_t> pixels(kImages * kSize * kSize);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>((i * 2654435761u) >> 24);
    SafetensorsWriter writer;
    writer.add_u8("samples", {kImages, 1, kSize, kSize}, std::move(pixels));
    writer.write(folder_ / "data.safetensors");
  }

  // Trains 20 steps of batch 16 into a folder of that name.
  std::string train(const std::string& name, const Words& more) {
    const ChildResult result =
        run_ito(Words{"train", "--data", folder_ / "data.safetensors", "--model", "demo", "--out", folder_ / name,
                      "--steps", "20", "--batch", "16", "--warmup", "2", "--lr", "0.001", "--sample-every", "1000"} +
                more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return folder_ / name + "/checkpoint-000020/";
  }

  std::string sample(const std::string& name, const Words& more) {
    const ChildResult result = run_ito(Words{"sample", "--checkpoint", folder_ / "base", "--out", folder_ / name,
                                             "--seed", "7", "--count", "9", "--batch", "9", "--steps", "4"} +
                                       more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_bytes(folder_ / name + "/samples.safetensors");
  }

  std::vector<float> samples(const std::string& name, const Words& more) {
    sample(name, more);
    return SafetensorsFile::open(folder_ / name + "/samples.safetensors").read_f32("samples");
  }

  TempFolder folder_;
  EnvironmentGuard isa_;
};

TEST_P(SameBits, WeightsForEveryThreadCountAndMicroBatch) {
  const std::string base = train("base", {"--threads", "2"});
  for (const Words& variant :
       {Words{"--threads", "1"}, Words{"--threads", "5"}, Words{"--micro-batch", "4"}, Words{"--micro-batch", "8"},
        Words{"--micro-batch", "12"}, Words{"--eager", "--threads", "2"}}) {
    const std::string other = train("other" + variant[0] + variant[1], variant);
    for (const char* file : {"unet/diffusion_pytorch_model.safetensors", "ito_state.safetensors"})
      EXPECT_TRUE(read_bytes(base + file) == read_bytes(other + file)) << file << " with " << variant[0] << variant[1];
  }
}

TEST_P(SameBits, ImagesForEveryBatchThreadCountAndFirst) {
  train("base", {});
  for (const char* sampler : {"ddpm", "ddim"}) {
    const Words with{"--sampler", sampler};
    const std::vector<float> nine = samples("nine", with);
    const std::string bytes = sample("nine", with);
    ASSERT_EQ(nine.size(), 9u * kSize * kSize);
    for (const Words& variant :
         {Words{"--batch", "1"}, Words{"--batch", "3"}, Words{"--batch", "8"}, Words{"--threads", "1"},
          Words{"--threads", "2"}, Words{"--threads", "5"}, Words{"--eager", "--batch", "3"}})
      EXPECT_TRUE(bytes == sample("variant", with + variant)) << sampler << " " << variant[0] << " " << variant[1];
    const std::vector<float> many = samples("many", with + Words{"--count", "64", "--batch", "64"});
    EXPECT_TRUE(std::equal(nine.begin(), nine.end(), many.begin())) << sampler << " batch 64";
    const std::vector<float> later = samples("later", with + Words{"--first", "6", "--count", "3", "--batch", "2"});
    EXPECT_TRUE(std::equal(later.begin(), later.end(), nine.begin() + 6 * kSize * kSize)) << sampler << " --first 6";
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, SameBits, testing::Values(static_cast<const char*>(nullptr), "AVX2"),
                         [](const auto& info) { return info.param ? std::string(info.param) : std::string("Native"); });

}  // namespace
}  // namespace ito
