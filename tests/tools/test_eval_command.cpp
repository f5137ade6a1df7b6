// SPDX-License-Identifier: Apache-2.0
// `ito eval` from outside: every metric of pixels, of a classifier's features and of a user's own; .npz in the place of
// safetensors; what is refused of those.
#include "engine/evaluate/metric.h"
#include "engine/io/npz.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

std::span<const uint8_t> raw(const std::vector<double>& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(double)};
}

// The tiny data itself, with a little noise, as another program would write it.
class EvalCommand : public testing::Test {
 protected:
  EvalCommand() {
    std::vector<uint8_t> pixels;
    for (int label = 0; label < kTinyClasses; ++label)
      for (int number = 0; number < kTinyPerClass; ++number)
        for (const uint8_t v : tiny_image(label, number).pixels)
          pixels.push_back(static_cast<uint8_t>(v + (pixels.size() * 7) % 5));
    write_npz(samples_, {{"arr_0", TensorType::U8, {kCount, kTinySize, kTinySize, 1}, pixels}});
    std::vector<float> floats;
    for (const uint8_t v : pixels) floats.push_back(static_cast<float>(v) / 127.5f - 1.0f);
    SafetensorsWriter writer;
    writer.add("samples", {kCount, 1, kTinySize, kTinySize}, std::move(floats));
    writer.write(tiny_ / "s.safetensors");
  }

  Json report(const Words& more) const {
    const ChildResult result = run_ito(Words{"eval", "--samples", samples_, "--data", tiny_.images, "--metrics", "all",
                                             "--projections", "20", "--json"} +
                                       more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return parse_json(result.out, "eval --json");
  }
  std::string file(const std::string& name, const std::vector<NpzArray>& arrays) const {
    write_npz(tiny_ / name, arrays);
    return tiny_ / name;
  }

  static constexpr int kCount = kTinyClasses * kTinyPerClass;
  TinyRun tiny_;
  std::string samples_ = tiny_ / "s.npz";
};

TEST_F(EvalCommand, EveryMetricOfPixels) {
  const Json all = report({"--out", tiny_ / "report.json"});
  EXPECT_EQ(read_json_file(tiny_ / "report.json"), all);
  EXPECT_EQ(all.at("samples"), kCount);
  EXPECT_EQ(all.at("reference_images"), kCount);
  EXPECT_EQ(all.at("features"), "pixels");
  EXPECT_EQ(all.at("dimensions"), kTinySize * kTinySize);
  EXPECT_EQ(all.at("classes_found"), kTinyClasses);
  for (const Metric* metric : metrics()) EXPECT_TRUE(all.at("parameters").contains(metric->name)) << metric->name;
  EXPECT_EQ(all.at("parameters").at("density-coverage").at("neighbours"), 5);
  // The samples are the images, brighter by 2 of 127.5 on the mean: near, and the images themselves nearer.
  for (const char* name : {"sliced_wasserstein", "frechet_distance"}) {
    EXPECT_GT(all.at(name), all.at(std::string(name) + "_of_training_images")) << name;
    EXPECT_LT(all.at(name), 0.5) << name;
  }
  EXPECT_EQ(all.at("coverage_of_training_images"), 1);
  // Whatever the threads, and however the samples are stored.
  EXPECT_EQ(report({"--threads", "1"}), all);
  EXPECT_EQ(report({"--samples", tiny_ / "s.safetensors"}), all);
  EXPECT_EQ(report({"--neighbours", "2"}).at("parameters").at("precision-recall").at("neighbours"), 2);
  const Json one = report({"--metrics", "mmd-rbf,frechet"});
  EXPECT_EQ(one.at("mmd2_rbf"), all.at("mmd2_rbf"));
  EXPECT_FALSE(one.contains("precision"));
}

TEST_F(EvalCommand, ResultsInWords) {
  const ChildResult result = run_ito(
      {"eval", "--samples", samples_, "--data", tiny_.images, "--metrics", "precision-recall,sliced-wasserstein"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("classes found at least 2 times among 12 samples: 3 of 3 (nearest class mean)\n  class0"),
            std::string::npos)
      << result.out;
  EXPECT_NE(result.out.find("compared with 12 test images: pixels, 64 numbers each; in brackets the same of as many "
                            "training images\n  precision            1 (1)\n  recall               1 (1)\n"
                            "  sliced_wasserstein   0."),
            std::string::npos)
      << result.out;
}

TEST_F(EvalCommand, OfAClassifiersFeatures) {
  const std::string judge = tiny_ / "judge";
  const Json first = report({"--features", "classifier", "--classifier", judge});
  EXPECT_EQ(first.at("features"), "classifier");
  EXPECT_EQ(first.at("dimensions"), 128);
  EXPECT_EQ(first.at("classifier").at("test_accuracy"), 1);
  EXPECT_EQ(first.at("classifier").at("data"), tiny_.images);
  const auto kept = files_below(judge);
  EXPECT_EQ(kept.size(), 2u);
  // Read again, on another number of threads; and trained anew, without a place to keep it.
  EXPECT_EQ(report({"--features", "classifier", "--classifier", judge, "--threads", "1"}), first);
  EXPECT_EQ(files_below(judge), kept);
  EXPECT_EQ(report({"--features", "classifier"}), first);
  EXPECT_NE(report({"--features", "classifier", "--seed", "1"}).at("frechet_distance"), first.at("frechet_distance"));
}

TEST_F(EvalCommand, OfFeaturesThatAreGiven) {
  // Means (1, 1) and (2, 3); every other number of the covariances is 0: (1 + 4) + (sqrt 2 - sqrt 8)^2 + 0.
  const std::vector<double> points{0, 1, 2, 1}, mean{2, 3}, covariance{8, 0, 0, 0};
  const std::string samples = file("f.npz", {{"arr_0", TensorType::F64, {2, 2}, raw(points)}});
  const std::string statistics =
      file("g.npz", {{"mu", TensorType::F64, {2}, raw(mean)}, {"sigma", TensorType::F64, {2, 2}, raw(covariance)}});
  const Json of_statistics = report({"--samples", samples, "--data", statistics, "--metrics", "frechet"});
  EXPECT_NEAR(of_statistics.at("frechet_distance").get<double>(), 5 + 2, 1e-14);
  EXPECT_EQ(of_statistics.at("features"), "given");
  EXPECT_EQ(of_statistics.at("samples"), 2);
  EXPECT_FALSE(of_statistics.contains("classes"));
  const Json of_points = report({"--samples", samples, "--data", samples, "--neighbours", "1"});
  EXPECT_NEAR(of_points.at("frechet_distance").get<double>(), 0, 1e-14);
  EXPECT_EQ(of_points.at("precision"), 1);
  EXPECT_EQ(of_points.at("reference_images"), 2);

  const auto refused = [&](const Words& more) {
    return refusal(Words{"eval", "--samples", samples, "--data", statistics} + more);
  };
  EXPECT_EQ(refused({}),
            "ito: sliced-wasserstein: the reference are a mean and a covariance alone; it needs the "
            "features themselves\n");
  EXPECT_EQ(refused({"--features", "pixels"}),
            "ito: --features pixels: " + samples + " holds features, not images; leave the flag out\n");
  EXPECT_EQ(refused({"--data", tiny_.images}), "ito: " + tiny_.images + ": is no file of features; those of " +
                                                   samples + " are compared with features of the same kind\n");
  EXPECT_EQ(refused({"--data", samples_}), "ito: " + samples_ + ": is no file of features; those of " + samples +
                                               " are compared with features of the same "
                                               "kind\n");
  tiny_.folder.write("bad.npz", "PK\3\4 and no more");
  EXPECT_EQ(refused({"--samples", tiny_ / "bad.npz"}),
            "ito: " + (tiny_ / "bad.npz") + ": is no zip archive, or one that is empty or cut short\n");
}

// What `ito sample --npz` writes is what was drawn, and goes with the pictures that it belongs to.
TEST_F(EvalCommand, SamplesAsNpz) {
  ASSERT_EQ(run_ito(tiny_.train + Words{"--out", tiny_ / "run", "--steps", "2"}).exit_code, 0);
  const Words words{"sample", "--checkpoint", tiny_ / "run", "--out", tiny_ / "drawn", "--count", "7", "--steps", "2"};
  const ChildResult drawn = run_ito(words + Words{"--npz"});
  ASSERT_EQ(drawn.exit_code, 0) << drawn.err;
  const std::string path = tiny_ / "drawn/samples.npz";
  EXPECT_NE(drawn.out.find(path), std::string::npos);
  const NpzFile npz = NpzFile::open(path);
  EXPECT_EQ(npz.header("arr_0").shape, (std::vector<int64_t>{7, kTinySize, kTinySize, 1}));
  EXPECT_EQ(npz.read_whole_numbers("arr_1"), (std::vector<int64_t>{0, 1, 2, 0, 1, 2, 0}));
  const std::vector<float> floats = SafetensorsFile::open(tiny_ / "drawn/samples.safetensors").read_f32("samples");
  const std::vector<uint8_t> bytes = npz.read_bytes("arr_0");
  ASSERT_EQ(bytes.size(), floats.size());  // of one channel, so that planes and pixels are in one order
  for (size_t i = 0; i < bytes.size(); ++i)
    EXPECT_NEAR(bytes[i], 127.5f * (std::min(1.0f, std::max(-1.0f, floats[i])) + 1), 0.501f) << i;
  EXPECT_EQ(run_ito({"eval", "--samples", path, "--data", path, "--projections", "3"}).exit_code, 0);
  const ChildResult again = run_ito(words);
  EXPECT_NE(again.err.find("removed " + path + ", which showed images drawn before"), std::string::npos) << again.err;
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace ito
