// SPDX-License-Identifier: Apache-2.0
// Inception-v3 against PyTorch in fp64 (tests/parity/inception_reference.py): images that grow, shrink and stay, in
// batches and alone; and files that are none of it.
#include "engine/evaluate/feature_network.h"
#include "tests/engine/user_error.h"
#include "tests/only/cpu/parity_case.h"

namespace ito {
namespace {

// fp32 of some twenty sums in a row, of up to 504 terms each, whose roundings walk at random: 2^-24 sqrt(504) of its
// size each, so sqrt(20) of that, 6e-6 of a feature that is an average of such; and a margin of three.
constexpr double kBound = 2e-5;  // of the largest feature

class InceptionParity : public WithTorch {
 protected:
  // One case for all tests here.
  static void SetUpTestSuite() {
    if (!has_torch()) return;
    folder_ = new TempFolder;
    const ChildResult made =
        run_child({kPython, ITO_SOURCE_DIR "/tests/parity/inception_reference.py", *folder_ / "case"});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  static void TearDownTestSuite() { delete folder_; }

  static SafetensorsFile file(const std::string& name) {
    return SafetensorsFile::open(*folder_ / ("case/" + name + ".safetensors"));
  }
  static std::unique_ptr<FeatureNetwork> network(const std::string& path, size_t memory_limit = SIZE_MAX) {
    std::string weights;
    return feature_network_of("inception:" + path, weights)->open(weights, memory_limit);
  }
  static ImageShape shape_of(const std::string& name) {
    const std::vector<int64_t> shape = file(name).entry("samples").shape;
    return {static_cast<int>(shape[2]), static_cast<int>(shape[3]), static_cast<int>(shape[1])};
  }
  static std::vector<float> images(const std::string& name) {
    const ImageShape shape = shape_of(name);
    const std::vector<float> samples = file(name).read_f32("samples");
    return to_interleaved(samples, static_cast<int64_t>(samples.size()) / shape.size(), shape);
  }

  static TempFolder* folder_;
};
TempFolder* InceptionParity::folder_ = nullptr;

TEST_F(InceptionParity, Features) {
  const auto inception = network(file("weights").path());
  for (const char* name : {"small", "large", "grey", "same"}) {
    const FeatureSet found = inception->features(images(name), shape_of(name));
    const std::vector<float> expected = file(name).read_f32("features");
    ASSERT_EQ(found.dim, 256);
    ASSERT_EQ(found.values.size(), expected.size());
    double worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::fabs(found.values[i] - expected[i]));
    EXPECT_LT(worst, kBound * largest_of(expected)) << name;
    RecordProperty(name, join_text(worst / largest_of(expected)));
  }
}

// Seventeen images are a batch and one more.
TEST_F(InceptionParity, AnImageHasItsFeaturesInAnyBatch) {
  const auto inception = network(file("weights").path());
  const ImageShape shape = shape_of("grey");
  std::vector<float> many(static_cast<size_t>(17 * shape.size()), 0.5f);
  const std::vector<float> one = images("grey");
  std::copy(one.begin(), one.end(), many.end() - shape.size());
  const FeatureSet found = inception->features(many, shape), alone = inception->features(one, shape);
  ASSERT_EQ(found.count, 17);
  EXPECT_EQ(std::vector<double>(found.values.end() - found.dim, found.values.end()), alone.values);
  EXPECT_NE(std::vector<double>(found.values.begin(), found.values.begin() + found.dim), alone.values);
}

TEST_F(InceptionParity, SaysWhatItsNumbersDependOn) {
  const Json said = network(file("weights").path())->settings();
  EXPECT_EQ(said["network"], "Inception-v3");
  EXPECT_EQ(said["weights"]["hash"], hash_of_file(file("weights").path()));
  EXPECT_EQ(said["resize"], "bilinear, not antialiased, pixel i at i H / 299, to 299 x 299");
  EXPECT_EQ(said["rounding"], "8 bits before the resize, none after it");
}

TEST_F(InceptionParity, RefusesOtherWeightsImagesAndTooLittleMemory) {
  const SafetensorsFile whole = file("weights");
  const std::string path = *folder_ / "w.safetensors";
  const auto message = [&](const std::string& changed, const std::vector<int64_t>& shape, float value) {
    SafetensorsWriter writer;
    for (const std::string& name : whole.names())
      if (name != changed) writer.add(name, whole.entry(name).shape, whole.read_f32(name));
    if (!shape.empty()) {
      int64_t count = 1;
      for (const int64_t size : shape) count *= size;
      writer.add(changed, shape, std::vector<float>(static_cast<size_t>(count), value));
    }
    writer.write(path);
    return test::user_error([&] { network(path); });
  };
  EXPECT_EQ(message("fc.weight", {}, 0), "");
  EXPECT_EQ(message("Conv2d_1a_3x3.conv.weight", {}, 0),
            path +
                ": has no Conv2d_1a_3x3.conv.weight; expected Inception-v3's weights under the names of its PyTorch "
                "ports");
  EXPECT_EQ(message("Mixed_6b.branch7x7_2.conv.weight", {16, 16, 7, 1}, 0),
            path +
                ": Mixed_6b.branch7x7_2.conv.weight has the shape [16, 16, 7, 1]; expected (K, 16, 1, 7) of "
                "Inception-v3");
  EXPECT_EQ(message("Mixed_7c.branch_pool.bn.bias", {23}, 0),
            path + ": tensor 'Mixed_7c.branch_pool.bn.bias': has shape [23], expected [24]");
  EXPECT_EQ(message("Mixed_5b.branch1x1.bn.running_var", {8}, -1),
            path + ": Mixed_5b.branch1x1.bn.running_var has a value of -1; expected at least 0");
  EXPECT_TRUE(message("Mixed_7b.branch1x1.conv.weight", {}, 0)
                  .starts_with(path + ": tensor 'Mixed_7b.branch1x1.conv.weight': is not in the file"));

  EXPECT_EQ(test::user_error([&] {
              network(whole.path())->features(std::vector<float>(8), {2, 2, 2});
            }),
            "features of images of 2 channels: the network takes 1 or 3");
  const std::string little =
      test::user_error([&] { network(whole.path(), size_t{1} << 20)->features(images("grey"), shape_of("grey")); });
  EXPECT_TRUE(little.starts_with("features by Inception-v3 needs ")) << little;
  EXPECT_TRUE(little.ends_with(" but only 1 MiB are free; free some memory")) << little;
}

}  // namespace
}  // namespace ito
