// SPDX-License-Identifier: Apache-2.0
// DINOv2 against PyTorch in fp64 (tests/parity/dinov2_reference.py), from files of both releases, and what is none.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "engine/evaluate/feature_network.h"
#include "engine/io/safetensors.h"
#include "tests/engine/user_error.h"
#include "tests/tools/child_process.h"

namespace ito {
namespace {

constexpr const char* kPython = "/usr/bin/python3";
// fp32 of some twenty sums of up to 2352 terms each, whose roundings walk at random: 2^-24 sqrt(2352) a sum.
constexpr double kBound = 2e-5;  // of the largest feature

class Dinov2Parity : public testing::Test {
 protected:
  // One case for all tests here.
  static void SetUpTestSuite() {
    has_torch_ = run_child({kPython, "-c", "import torch"}).exit_code == 0;
    if (!has_torch_) return;
    folder_ = new TempFolder;
    const ChildResult made =
        run_child({kPython, ITO_SOURCE_DIR "/tests/parity/dinov2_reference.py", *folder_ / "case"});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  static void TearDownTestSuite() { delete folder_; }

  void SetUp() override {
    if (has_torch_) return;
    const char* required = std::getenv("ITO_REQUIRE_ORACLES");
    if (required && std::string(required) == "1")
      FAIL() << kPython << " cannot import torch, the oracle of this test; install python3-torch";
    GTEST_SKIP() << kPython << " cannot import torch, the oracle of this test; install python3-torch";
  }
  static std::string file(const std::string& name) { return *folder_ / ("case/" + name + ".safetensors"); }

  static TempFolder* folder_;
  static bool has_torch_;
};
TempFolder* Dinov2Parity::folder_ = nullptr;
bool Dinov2Parity::has_torch_ = false;

TEST_F(Dinov2Parity, FeaturesOfBothReleases) {
  const ImageShape image{224, 224, 3};
  const std::vector<float> samples =
                               to_interleaved(SafetensorsFile::open(file("images")).read_f32("samples"), 3, image),
                           expected = SafetensorsFile::open(file("features")).read_f32("features");
  double largest = 0;
  for (const float v : expected) largest = std::max<double>(largest, std::fabs(v));
  std::vector<double> before;
  for (const char* release : {"release", "transformers"}) {
    std::string weights;
    const FeatureNetworkKind* kind = feature_network_of("dinov2:" + file(release), weights);
    ASSERT_TRUE(kind);
    const FeatureSet found = kind->open(weights, SIZE_MAX)->features(samples, image);
    ASSERT_EQ(found.count, 3);
    ASSERT_EQ(found.values.size(), expected.size());
    double worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::fabs(found.values[i] - expected[i]));
    EXPECT_LT(worst, kBound * largest) << release;
    if (before.empty()) before = found.values;
    EXPECT_EQ(found.values, before) << "the same weights by other names";
  }
}

TEST_F(Dinov2Parity, RefusesOtherWeights) {
  const SafetensorsFile whole = SafetensorsFile::open(file("release"));
  const auto message = [&](const std::string& left_out, const std::string& added) {
    SafetensorsWriter writer;
    for (const std::string& name : whole.names())
      if (!name.starts_with(left_out)) writer.add(name, whole.entry(name).shape, whole.read_f32(name));
    if (!added.empty()) writer.add(added, {1}, {0.0f});
    writer.write(*folder_ / "w.safetensors");
    return message_of([&] { feature_networks()[0]->open(*folder_ / "w.safetensors", SIZE_MAX); });
  };
  const std::string at = (*folder_ / "w.safetensors") + ": ";
  EXPECT_EQ(message("patch_embed.proj.weight", ""),
            at + "has no patch_embed.proj.weight; expected DINOv2's weights as its release or transformers names them");
  EXPECT_EQ(message("blocks.0.mlp.fc1", ""),
            at + "has no blocks.0.mlp.fc1.weight; expected a DINOv2 of the sizes S, B or L");
  EXPECT_EQ(message("none", "register_tokens"), at + "has register_tokens; a DINOv2 with registers is not read");
  EXPECT_NE(message("blocks.1.ls2", "").find("blocks.1.ls2.gamma"), std::string::npos);
  EXPECT_NE(message("pos_embed", "").find("has no pos_embed"), std::string::npos);
}

}  // namespace
}  // namespace ito
