// SPDX-License-Identifier: Apache-2.0
// Mixtures and closed forms through the command, and what `ito sample` takes besides for their sake: another scheduler,
// numbers alone, noise from files and of PyTorch's generator.
#include <cmath>
#include <cstring>

#include "engine/diffusion/levels.h"
#include "engine/reverse/torch_cpu_noise.h"
#include "models/mixture/mixture_config.h"
#include "tests/models/mixture/two_bumps.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

constexpr int kCount = 5, kSize = 16;  // images of 2 x 2 x 4

class ExactNetworks : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }
  Words sample_words(const Words& more) const {
    return Words{"sample", "--checkpoint", mixture_, "--out", path("out"), "--count", std::to_string(kCount), "--seed",
                 "3",      "--steps",      "6"} +
           more;
  }
  std::vector<float> sample(const Words& more) const {
    const ChildResult result = run_ito(sample_words(more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err.find("warning"), std::string::npos) << result.err;
    return SafetensorsFile::open(path("out/samples.safetensors")).read_f32("samples");
  }
  std::string write_noise(const std::string& name, const std::vector<int64_t>& shape,
                          const std::vector<float>& values) const {
    SafetensorsWriter writer;
    writer.add("noise", shape, values);
    writer.write(path(name));
    return path(name);
  }
  std::string write_scheduler(const Json& object) const {
    return folder_.write("scheduler_config.json", json_text(object));
  }

  TempFolder folder_;
  std::string mixture_ = folder_.write("m.json", json_text(test::three_images()));
};

const Words kAncestral{"--sampler", "euler-ancestral"};

TEST_F(ExactNetworks, AreSampledFromOneFile) {
  const std::vector<float> drawn = sample({"--sampler", "heun"});
  ASSERT_EQ(drawn.size(), size_t{kCount * kSize});
  EXPECT_TRUE(std::filesystem::exists(path("out/samples.png")));
  SafetensorsFile::open(path("out/samples.safetensors")).check_shape("samples", {kCount, 2, 2, 4});
  // One at a time or together: an image has the same bits.
  EXPECT_EQ(sample({"--sampler", "heun", "--batch", "1"}), drawn);
  EXPECT_EQ(sample({"--sampler", "heun", "--batch", "3"}), drawn);
}

TEST_F(ExactNetworks, AreShownAndConverted) {
  const ChildResult shown = run_ito({"inspect", mixture_, "--json"});
  ASSERT_EQ(shown.exit_code, 0) << shown.err;
  const Json description = parse_json(shown.out, "inspect");
  EXPECT_EQ(description["architecture"], test::three_images());
  EXPECT_EQ(description["parameters"], 0);
  EXPECT_EQ(description["scheduler"]["clip_sample"], false);
  const ChildResult converted = run_ito({"convert", "--from", mixture_, "--out", path("made")});
  ASSERT_EQ(converted.exit_code, 0) << converted.err;
  EXPECT_EQ(converted.out, path("made") + ": 0 tensors, 0 parameters from " + mixture_ + "\n");
  EXPECT_EQ(sample({"--checkpoint", path("made")}), sample({})) << "its own scheduler went with it";
}

// The network once, at the levels of the schedule's timesteps, whole or not.
TEST_F(ExactNetworks, ArePredictedWith) {
  const std::vector<float> timesteps{0, 412, 999};
  const MixtureConfig config = mixture_config_from_json(test::three_images(), "m.json", nullptr);
  const GaussianMixture mixture = config.mixture();
  std::vector<float> x;  // (N, H, W, C)
  for (uint32_t i = 0; i < 3; ++i)
    for (const double value : mixture.sample(1, i)) x.push_back(static_cast<float>(value));
  SafetensorsWriter writer;
  writer.add("sample", {3, 2, 2, 4}, to_planar(x, 3, config.image));
  writer.add("timestep", {3}, timesteps);
  writer.write(path("in.safetensors"));
  const ChildResult result =
      run_ito({"predict", "--checkpoint", mixture_, "--input", path("in.safetensors"), "--output", path("p")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::vector<float> eps =
      to_interleaved(SafetensorsFile::open(path("p")).read_f32("prediction"), 3, config.image);
  const Levels levels{NoiseSchedule(SchedulerConfig{})};
  for (size_t i = 0; i < 3; ++i) {
    const Level level = levels.at(timesteps[i]);
    const std::vector<double> image(x.begin() + i * kSize, x.begin() + (i + 1) * kSize);
    const std::vector<double> want = mixture.expected_eps(image, level.alpha, level.sigma);
    // The level is rounded to fp32, and sigma of the first timestep multiplies what it is off by.
    for (size_t j = 0; j < kSize; ++j) EXPECT_NEAR(eps[i * kSize + j], want[j], 2e-6 * (1 + std::fabs(want[j])));
  }
  EXPECT_EQ(refusal({"predict", "--checkpoint", mixture_, "--input", path("in.safetensors"), "--output", mixture_}),
            "ito: --output " + mixture_ + ": is the model's configuration, " + mixture_ + "; choose another file\n");
}

TEST_F(ExactNetworks, HaveNothingToTrain) {
  const TinyRun tiny;
  const std::string toy =
      folder_.write("toy.json", json_text({{"_class_name", "ToyNetwork"}, {"name", "A"}, {"shape", {1, 8, 8}}}));
  EXPECT_EQ(refusal(tiny.train + Words{"--model", toy, "--out", path("run"), "--steps", "1"}),
            "ito: the network has no weights that could be trained\n");
}

TEST_F(ExactNetworks, AnotherSchedulerChoosesSamplerAndSchedule) {
  const std::string file = write_scheduler({{"_class_name", "EulerDiscreteScheduler"}, {"beta_end", 0.02}});
  const std::vector<float> euler = sample({"--sampler", "euler", "--spacing", "linspace"});
  EXPECT_EQ(sample({"--scheduler", file}), euler);
  EXPECT_EQ(sample({"--scheduler", folder_.path()}), euler) << "the folder that it is in";
  EXPECT_EQ(sample({"--scheduler", file, "--sampler", "heun", "--no-clip"}),
            sample({"--sampler", "heun", "--spacing", "linspace"}))
      << "a sampler that is named goes before the file's";
  const std::string other = write_scheduler({{"_class_name", "EulerDiscreteScheduler"}, {"beta_end", 0.01}});
  EXPECT_NE(sample({"--scheduler", other}), euler);
  EXPECT_EQ(refusal(sample_words({"--scheduler", path("none.json")})),
            "ito: --scheduler " + path("none.json") +
                ": no such file or folder; expected a scheduler_config.json, or a folder that holds one\n");
}

// The final state is not clamped, with pictures or without; without, those of an earlier call go.
TEST_F(ExactNetworks, NumbersAlone) {
  const std::vector<float> drawn = sample({});
  float most = 0;
  for (const float value : drawn) most = std::max(most, std::fabs(value));
  EXPECT_GT(most, 1);
  EXPECT_EQ(sample({"--raw"}), drawn);
  EXPECT_FALSE(std::filesystem::exists(path("out/samples.png")));
  EXPECT_EQ(run_ito(sample_words({"--raw"})).out, path("out/samples.safetensors") + "\n");
  EXPECT_EQ(refusal(sample_words({"--raw", "--strip"})),
            "ito: --strip: is a picture, and --raw writes none; leave one of them out\n");
}

// What PyTorch draws, given as files: x_T of all images and then a draw a step, in the files' order.
TEST_F(ExactNetworks, NoiseOfPyTorchsGenerator) {
  const std::vector<float> torch = sample(kAncestral + Words{"--noise", "torch-cpu"});
  EXPECT_EQ(sample(kAncestral + Words{"--noise", "torch-cpu", "--batch", "2"}), torch);
  EXPECT_NE(sample(kAncestral), torch);
  TorchCpuNoise generator(3);
  const std::string initial = write_noise("initial", {kCount, 2, 2, 4}, generator.normals(kCount * kSize));
  std::vector<float> steps;
  for (int draw = 0; draw < 6; ++draw) {
    const std::vector<float> next = generator.normals(kCount * kSize);
    steps.insert(steps.end(), next.begin(), next.end());
  }
  // The last step's noise has no weight: its draw may be given or not.
  for (const int draws : {5, 6}) {
    const std::string file =
        write_noise("steps", {draws, kCount, 2, 2, 4}, {steps.begin(), steps.begin() + draws * kCount * kSize});
    const Words files{"--initial-noise", initial, "--step-noise", file};
    EXPECT_EQ(sample(kAncestral + files), torch) << draws;
    EXPECT_EQ(sample(kAncestral + files + Words{"--batch", "2", "--seed", "8"}), torch) << draws;
  }
}

TEST_F(ExactNetworks, RefusesNoiseThatCannotBe) {
  const std::string four = write_noise("four", {4, kCount, 2, 2, 4}, std::vector<float>(4 * kCount * kSize)),
                    seven = write_noise("seven", {7, kCount, 2, 2, 4}, std::vector<float>(7 * kCount * kSize)),
                    flat = write_noise("flat", {kCount, 2, 2, 4}, std::vector<float>(kCount * kSize));
  const std::pair<Words, std::string> cases[] = {
      {{"--noise", "numpy"}, "--noise numpy: expected philox or torch-cpu"},
      {{"--noise", "torch-cpu", "--initial-noise", flat},
       "--noise torch-cpu: draws all noise, but --initial-noise or --step-noise gives some; leave one of them out"},
      {{"--noise", "torch-cpu", "--first", "1"},
       "--first 1: with --noise torch-cpu an image depends on all that are drawn with it; begin at 0"},
      {kAncestral + Words{"--step-noise", four},
       four + ": noise holds 4 draws, and the sampler takes 5; give 5 or up to 6, those that its rule does not use"},
      {kAncestral + Words{"--step-noise", seven},
       seven + ": noise holds 7 draws, and the sampler takes 5; give 5 or up to 6, those that its rule does not use"},
      {{"--sampler", "ddim", "--step-noise", four},
       "--step-noise " + four + ": the sampler takes no noise in its steps; leave it out"},
  };
  for (const auto& [words, message] : cases) EXPECT_EQ(refusal(sample_words(words)), "ito: " + message + "\n");
  EXPECT_NE(refusal(sample_words(kAncestral + Words{"--step-noise", flat})).find("noise"), std::string::npos);
  sample({});
  EXPECT_NE(refusal(sample_words(kAncestral + Words{"--step-noise", path("out/samples.safetensors")}))
                .find(": its samples.safetensors is --step-noise "),
            std::string::npos);
}

}  // namespace
}  // namespace ito
