// SPDX-License-Identifier: Apache-2.0
// `ito measure` and `ito restore` from outside: what they write, that a draw has the same bits whatever it is drawn
// beside, that a run that was ended goes on, and what they refuse. That solvers are right is shown where the posterior
// is a closed form (tests/models/mixture/test_solvers.cpp).
#include <cmath>
#include <limits>

#include "models/mixture/mixture_config.h"
#include "tests/models/mixture/two_bumps.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

constexpr int kImages = 5, kSize = 16;  // two channels of 2 x 4
constexpr double kSigmaY = 0.15;

class RestoreCommand : public testing::Test {
 protected:
  RestoreCommand() {
    const GaussianMixture density = mixture_config_from_json(test::three_images(), "m.json", nullptr).mixture();
    std::vector<float> x;
    for (uint32_t i = 0; i < kImages; ++i)
      for (const double value : density.sample(1, i)) x.push_back(static_cast<float>(value));
    truth_ = to_planar(x, kImages, {2, 4, 2});
    SafetensorsWriter writer;
    writer.add("samples", {kImages, 2, 2, 4}, truth_);
    writer.write(path("x.safetensors"));
  }

  std::string path(const std::string& name) const { return folder_ / name; }
  std::vector<float> tensor(const std::string& file, const std::string& name) const {
    return SafetensorsFile::open(path(file)).read_f32(name);
  }

  Words measure_words(const std::string& out, const Words& more = {}) const {
    return Words{"measure",
                 "--data",
                 path("x.safetensors"),
                 "--operator",
                 "inpaint:random:0.5",
                 "--sigma-y",
                 "0.15",
                 "--count",
                 "5",
                 "--out",
                 path(out)} +
           more;
  }
  void measure(const std::string& out, const Words& more = {}) const {
    const ChildResult result = run_ito(measure_words(out, more));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, path(out) + "\n");
  }
  Words restore_words(const std::string& out, const Words& more = {}) const {
    return Words{"restore",
                 "--checkpoint",
                 mixture_,
                 "--measurements",
                 path("y.safetensors"),
                 "--solver",
                 "ddrm",
                 "--draws",
                 "3",
                 "--out",
                 path(out)} +
           more;
  }
  ChildResult restore(const std::string& out, const Words& more = {}) const {
    ChildResult result = run_ito(restore_words(out, more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result;
  }

  TempFolder folder_;
  std::string mixture_ = folder_.write("m.json", json_text(test::three_images()));
  std::vector<float> truth_;
};

TEST_F(RestoreCommand, Measures) {
  measure("clean.safetensors", {"--operator", "denoise", "--sigma-y", "0"});
  EXPECT_EQ(tensor("clean.safetensors", "measurements"), truth_);
  measure("noisy.safetensors", {"--operator", "denoise"});
  const SafetensorsFile file = SafetensorsFile::open(path("noisy.safetensors"));
  file.check_shape("measurements", {kImages, kSize});
  file.check_shape("truth", {kImages, 2, 2, 4});
  EXPECT_EQ(file.read_f32("truth"), truth_);
  EXPECT_EQ(file.metadata().at("operator"), "denoise");
  EXPECT_EQ(file.metadata().at("sigma_y"), "0.15");
  EXPECT_EQ(file.metadata().at("image"), "2,2,4");
  const std::vector<float> noisy = file.read_f32("measurements");
  double square = 0;
  for (size_t i = 0; i < noisy.size(); ++i)
    square += std::pow((noisy[i] - truth_[i]) / (2 * kSigmaY), 2) / noisy.size();
  EXPECT_NEAR(square, 1, 4 * std::sqrt(2.0 / static_cast<double>(noisy.size()))) << "of data in [-1, 1]";
  // An image's noise is its own.
  measure("later.safetensors", {"--operator", "denoise", "--first", "3", "--count", "2"});
  EXPECT_EQ(tensor("later.safetensors", "measurements"), std::vector<float>(noisy.begin() + 3 * kSize, noisy.end()));
  measure("seed.safetensors", {"--operator", "denoise", "--seed", "1"});
  EXPECT_NE(tensor("seed.safetensors", "measurements"), noisy);
}

TEST_F(RestoreCommand, WritesWhatItRestored) {
  measure("y.safetensors");
  const ChildResult result = restore("out");
  EXPECT_NE(result.out.find("residual |y - H x| / (s sqrt M) "), std::string::npos) << result.out;
  EXPECT_NE(result.err.find("restored.png: a row is truth, H+ y, 3 samples, mean, standard deviation (white: "),
            std::string::npos)
      << result.err;
  const SafetensorsFile file = SafetensorsFile::open(path("out/restored.safetensors"));
  file.check_shape("samples", {kImages * 3, 2, 2, 4});
  const std::vector<float> samples = file.read_f32("samples"), mean = file.read_f32("mean"), std = file.read_f32("std");
  ASSERT_EQ(mean.size(), truth_.size());
  for (size_t i = 0; i < mean.size(); ++i) {
    const size_t at = i / kSize * 3 * kSize + i % kSize;
    const double a = samples[at], b = samples[at + kSize], c = samples[at + 2 * kSize], m = (a + b + c) / 3;
    ASSERT_NEAR(mean[i], m, 1e-6);
    ASSERT_NEAR(std[i], std::sqrt(((a - m) * (a - m) + (b - m) * (b - m) + (c - m) * (c - m)) / 2), 1e-5);
  }
  const Json report = read_json_file(path("out/restored.json"));
  EXPECT_EQ(report["operator"], "inpaint:random:0.5");
  EXPECT_EQ(report["sigma_y"], kSigmaY);
  EXPECT_EQ(report["noise"], 2 * kSigmaY);
  EXPECT_EQ(report["steps"], 20);
  EXPECT_EQ(report["set"]["eta"], "0.85");
  EXPECT_EQ(report["clip_denoised"], "off") << "a mixture has no range";
  EXPECT_NEAR(report["residual"]["median"].get<double>(), 1, 0.5);
  EXPECT_EQ(report["psnr"]["of_mean_by_measurement"].size(), 5u);
  EXPECT_GT(report["psnr"]["of_mean"].get<double>(), report["psnr"]["of_sample"].get<double>());
  double square = 0;
  for (size_t i = 0; i < kSize; ++i) square += std::pow(static_cast<double>(mean[i]) - truth_[i], 2) / kSize;
  EXPECT_NEAR(report["psnr"]["of_mean_by_measurement"][0].get<double>(), 10 * std::log10(4 / square), 1e-9);
  const Image picture = read_image(path("out/restored.png"));
  EXPECT_EQ(picture.width, 7 * (4 + 2) - 2);
  EXPECT_EQ(picture.height, 5 * (2 + 2) - 2);
  EXPECT_EQ(files_below(path("out")).size(), 3u) << "its parts are gone";
}

TEST_F(RestoreCommand, DrawsHaveTheirOwnBits) {
  measure("y.safetensors");
  restore("all");
  const std::vector<float> all = tensor("all/restored.safetensors", "samples");
  for (const char* batch : {"1", "2", "7"}) {
    restore("batch", {"--batch", batch});
    EXPECT_EQ(read_bytes(path("batch/restored.safetensors")), read_bytes(path("all/restored.safetensors"))) << batch;
  }
  restore("eager", {"--eager"});
  EXPECT_EQ(read_bytes(path("eager/restored.safetensors")), read_bytes(path("all/restored.safetensors")));
  restore("window", {"--profile-steps", "2:3", "--batch", "2"});
  EXPECT_EQ(read_bytes(path("window/restored.safetensors")), read_bytes(path("all/restored.safetensors")));
  EXPECT_NE(refusal(restore_words("no", {"--profile-steps", "20:21"})).find(" has 20 rows"), std::string::npos);
  restore("one", {"--draws", "1", "--first", "2", "--count", "2"});
  const std::vector<float> one = tensor("one/restored.safetensors", "samples");
  for (int m = 0; m < 2; ++m)
    for (int i = 0; i < kSize; ++i) ASSERT_EQ(one[m * kSize + i], all[(m + 2) * 3 * kSize + i]) << "measurement " << m;
  restore("seed", {"--seed", "4"});
  EXPECT_NE(tensor("seed/restored.safetensors", "samples"), all);
}

TEST_F(RestoreCommand, GoesOnFromItsParts) {
  measure("y.safetensors");
  restore("whole");
  // The report cannot be written, so that all parts stay.
  std::filesystem::create_directories(path("out/restored.json"));
  EXPECT_EQ(run_ito(restore_words("out", {"--batch", "3"})).exit_code, 2);
  const auto part = [&](int at) { return path(join_text("out/parts/measurements-", at, "+1.safetensors")); };
  for (int at = 0; at < kImages; ++at) ASSERT_TRUE(std::filesystem::exists(part(at))) << at;
  const std::string folder = path("out/parts"), again =
                                                    "; give what was given then to go on, or remove the folder to "
                                                    "begin anew\n";
  EXPECT_EQ(refusal(restore_words("out", {"--steps", "5"})),
            "ito: " + folder + ": holds parts of a run with --steps 20, and now it is 5" + again);
  EXPECT_EQ(refusal(restore_words("out", {"--set", "eta=0.5"})),
            "ito: " + folder +
                ": holds parts of a run with --set {\"eta\":\"0.85\",\"eta_b\":\"1\"}, and now it is "
                "{\"eta\":\"0.5\",\"eta_b\":\"1\"}" +
                again);
  measure("other.safetensors", {"--seed", "8"});
  EXPECT_EQ(refusal(restore_words("out", {"--measurements", path("other.safetensors")})),
            "ito: " + folder + ": holds parts of a run that did not have the same measurements" + again);
  // What is there is taken as it is, and what is missing restored, in groups of another size.
  std::filesystem::remove(part(1));
  std::filesystem::remove(part(2));
  std::filesystem::remove(path("out/restored.json"));
  const SafetensorsFile file = SafetensorsFile::open(part(3));
  std::vector<float> changed = file.read_f32("samples");
  changed[5] = 99;
  SafetensorsWriter writer;
  writer.add("samples", {3, 2, 2, 4}, changed);
  for (const char* name : {"mean", "std"}) writer.add(name, {1, 2, 2, 4}, file.read_f32(name));
  writer.write(part(3));
  restore("out", {"--batch", "6"});
  std::vector<float> expected = tensor("whole/restored.safetensors", "samples");
  expected[3 * 3 * kSize + 5] = 99;
  EXPECT_EQ(tensor("out/restored.safetensors", "samples"), expected);
  for (const char* name : {"mean", "std"})
    EXPECT_EQ(tensor("out/restored.safetensors", name), tensor("whole/restored.safetensors", name));
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST_F(RestoreCommand, TakesAFlagBeforeTheFile) {
  measure("y.safetensors");
  const ChildResult result = restore("out", {"--sigma-y", "0.2", "--draws", "1"});
  EXPECT_NE(result.err.find("ito: warning: --sigma-y 0.2: " + path("y.safetensors") +
                            " was measured with 0.15; taking --sigma-y\n"),
            std::string::npos)
      << result.err;
  EXPECT_EQ(read_json_file(path("out/restored.json"))["sigma_y"], 0.2);
  // Of another program: no metadata, no truth.
  SafetensorsWriter writer;
  writer.add("measurements", {1, kSize}, std::vector<float>(kSize, 0.5f));
  writer.write(path("bare.safetensors"));
  const std::string bare = path("bare.safetensors");
  EXPECT_EQ(refusal(restore_words("no", {"--measurements", bare})),
            "ito: " + bare + ": does not say what operator measured; give it as --operator\n");
  EXPECT_EQ(refusal(restore_words("no", {"--measurements", bare, "--operator", "denoise"})),
            "ito: " + bare + ": does not say how noisy it is; give --sigma-y\n");
  restore("bare", {"--measurements", bare, "--operator", "denoise", "--sigma-y", "0"});
  const Json report = read_json_file(path("bare/restored.json"));
  EXPECT_FALSE(report.contains("psnr"));
  EXPECT_EQ(report["residual"]["of"], "|y - H x| / sqrt M");
  EXPECT_LT(report["residual"]["median"].get<double>(), 1e-6) << "nothing but rounding of what is known exactly";
}

TEST_F(RestoreCommand, Refusals) {
  measure("y.safetensors");
  const std::string y = path("y.safetensors"), x = path("quiet.safetensors");  // images without values to warn of
  SafetensorsWriter quiet;
  quiet.add("samples", {kImages, 2, 2, 4}, std::vector<float>(truth_.size(), 0.25f));
  quiet.write(x);
  const auto restoring = [&](const Words& more) { return refusal(restore_words("no", more)); };
  const auto measuring = [&](const Words& more) {
    return refusal(measure_words("no.safetensors", Words{"--data", x} + more));
  };
  EXPECT_EQ(measuring({"--sigma-y", "-0.1"}),
            "ito: --sigma-y -0.1: expected 0 to 10, in the units of data in [0, 1]\n");
  EXPECT_EQ(measuring({"--sigma-y", "nan"}), "ito: --sigma-y nan: expected 0 to 10, in the units of data in [0, 1]\n");
  EXPECT_EQ(measuring({"--count", "6"}), "ito: --count 6: " + x + " has 5 images from --first on\n");
  EXPECT_EQ(measuring({"--first", "5"}), "ito: --first 5: " + x + " has images 0 to 4\n");
  EXPECT_EQ(measuring({"--height", "8"}),
            "ito: --height: is given alone; give both, or neither for images as they are\n");
  EXPECT_EQ(measuring({"--operator", "denose"}).find("ito: operator 'denose': 'denose' is not known; use one of "), 0u);
  EXPECT_EQ(measuring({"--operator", "inpaint:" + y}),
            "ito: operator inpaint:" + y + ": the file holds no tensor \"mask\"\n");
  EXPECT_EQ(measuring({"--out", x}), "ito: --out " + x + ": is --data " + x + "; choose another file\n");
  EXPECT_EQ(restoring({"--operator", "denoise"}),
            "ito: " + y +
                ": measurements is of shape [5, 8]; operator denoise measures 16 numbers of an image of 2 x 2 x 4, so "
                "that [5, 16] is expected; give the operator that they were made with\n");
  EXPECT_EQ(restoring({"--solver", "ddmr"}).find("ito: solver 'ddmr' is not known; use one of "), 0u);
  EXPECT_EQ(restoring({"--solver", "stochastic-denoise"})
                .find("ito: solver stochastic-denoise: needs an image as a whole (denoise), which this operator does "
                      "not have; use one of "),
            0u);
  EXPECT_EQ(restoring({"--sigma-y", "11"}), "ito: --sigma-y 11: expected 0 to 10, in the units of data in [0, 1]\n");
  EXPECT_EQ(restoring({"--draws", "4097"}), "ito: --draws 4097: expected 1 to 4096\n");
  EXPECT_EQ(restoring({"--steps", "1001"}),
            "ito: solver ddrm: 1001 steps; expected 1 to 1000, the timesteps the model was trained on\n");
  EXPECT_EQ(restoring({"--steps", "5", "--paper"}),
            "ito: --paper: says the published number of steps, and --steps 5 another; leave one of them out\n");
  EXPECT_EQ(restoring({"--first", "5"}), "ito: --first 5: " + y + " has measurements 0 to 4\n");
  EXPECT_EQ(restoring({"--count", "6"}), "ito: --count 6: " + y + " has 5 measurements from --first on\n");
  EXPECT_EQ(restoring({"--set", "etta=1"}),
            "ito: solver ddrm: has no option 'etta'; it has 'eta', 'eta_b'; did you mean 'eta'?\n");
  EXPECT_EQ(restoring({"--clip-denoised", "yes"}), "ito: --clip-denoised 'yes': expected on or off\n");
  EXPECT_EQ(restoring({"--clip-denoised", "on", "--no-clip"}),
            "ito: --no-clip: says the opposite of --clip-denoised on; leave one of them out\n");
  EXPECT_EQ(restoring({"--class", "0"}), "ito: --class 0: this model has no classes; leave the flag out\n");
  EXPECT_EQ(restoring({"--out", y}),
            "ito: --out " + y + ": is a file; expected a folder, or the name of one to make\n");
  EXPECT_EQ(restoring({"--measurements", x}),
            "ito: " + x + ": has no tensor measurements; expected what ito measure writes\n");
  std::vector<float> numbers = tensor("y.safetensors", "measurements");
  numbers[3 * 8 + 2] = std::numeric_limits<float>::quiet_NaN();
  SafetensorsWriter writer;
  writer.add("measurements", {kImages, 8}, numbers);
  writer.set_metadata("sigma_y", "0.15");
  writer.set_metadata("operator", "inpaint:random:0.5");
  const std::string damaged = path("damaged.safetensors");
  writer.write(damaged);
  EXPECT_EQ(restoring({"--measurements", damaged}),
            "ito: " + damaged +
                ": measurements 3 holds nan as number 2; expected finite numbers, leave it out with --first and "
                "--count\n");
  writer.set_metadata("sigma_y", "loud");
  writer.write(damaged);
  EXPECT_EQ(restoring({"--measurements", damaged}),
            "ito: " + damaged + ": its metadata say sigma_y 'loud'; expected a number of 0 to 10\n");
  EXPECT_FALSE(std::filesystem::exists(path("no")));
  EXPECT_FALSE(std::filesystem::exists(path("no.safetensors")));
}

// The same flags of `ito sample`.
TEST_F(RestoreCommand, SampleClipsAsItIsTold) {
  const auto sampled = [&](const Words& more) {
    const ChildResult result = run_ito(
        Words{"sample", "--checkpoint", mixture_, "--count", "8", "--steps", "5", "--out", path("drawn")} + more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return tensor("drawn/samples.safetensors", "samples");
  };
  const std::vector<float> off = sampled({"--clip-denoised", "off"}), on = sampled({"--clip-denoised", "on"});
  EXPECT_EQ(off, sampled({"--no-clip"}));
  EXPECT_EQ(off, sampled({})) << "as a mixture's scheduler says";
  EXPECT_NE(on, off);
  for (const float v : on) EXPECT_LE(std::fabs(v), 1.0f);
  EXPECT_EQ(refusal({"sample", "--checkpoint", mixture_, "--out", path("no"), "--no-clip", "--clip-denoised", "on"}),
            "ito: --no-clip: says the opposite of --clip-denoised on; leave one of them out\n");
}

}  // namespace
}  // namespace ito
