// SPDX-License-Identifier: Apache-2.0
// Latents from outside: a transformer trained on codes, what it draws with their scale, images of that; refusals.
#include "engine/data/latent_scale.h"
#include "tests/models/tiny_autoencoder.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

constexpr float kScale[] = {0.5f, 2, 1, 0.25f}, kShift[] = {0, 1, -3, 0.5f};

class Latents : public testing::Test {
 protected:
  // 8 codes (4, 4, 6), labels, and scale and shift if they are not empty.
  std::string write_codes(const std::string& name, std::vector<float> scale, std::vector<float> shift) const {
    SafetensorsWriter writer;
    std::vector<float> codes(8 * 4 * 4 * 4);
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = 3 * std::sin(0.7f * static_cast<float>(i));
    writer.add("samples", {8, 4, 4, 4}, codes);
    writer.add_i64("labels", {8}, {0, 1, 2, 0, 1, 2, 0, 1});
    if (!scale.empty()) writer.add("scale", {static_cast<int64_t>(scale.size())}, scale);
    if (!shift.empty()) writer.add("shift", {static_cast<int64_t>(shift.size())}, shift);
    writer.write(folder_ / name);
    return folder_ / name;
  }
  Words train(const std::string& data) const {
    return {"train", "--data", data, "--model", model_, "--steps", "3", "--batch", "4", "--out", folder_ / "run"};
  }

  const TempFolder folder_;
  const std::string model_ =
      folder_.write("dit.json", R"({"_class_name": "DiTTransformer2DModel", "num_attention_heads": 2,
    "attention_head_dim": 8, "in_channels": 4, "num_layers": 1, "sample_size": 4, "num_embeds_ada_norm": 3})");
  const std::string autoencoder_ = test::write_autoencoder(folder_, "published", test::tiny_autoencoder());
};

TEST_F(Latents, AreTrainedOnDrawnAndDecoded) {
  const std::string codes =
      write_codes("codes.safetensors", {std::begin(kScale), std::end(kScale)}, {std::begin(kShift), std::end(kShift)});
  const ChildResult trained = run_ito(train(codes));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const std::string checkpoint = folder_ / "run/checkpoint-000003";
  EXPECT_EQ(read_json_file(checkpoint + "/latents.json"), (Json{{"scale", kScale}, {"shift", kShift}}));
  EXPECT_EQ(read_json_file(checkpoint + "/scheduler/scheduler_config.json").at("clip_sample"), false);

  // The copy of a model knows what it draws, too.
  ASSERT_EQ(run_ito({"convert", "--from", folder_ / "run", "--out", folder_ / "copy"}).exit_code, 0);
  const ChildResult drawn = run_ito({"sample", "--checkpoint", folder_ / "copy", "--out", folder_ / "drawn", "--count",
                                     "3", "--steps", "2", "--sampler", "ddim"});
  ASSERT_EQ(drawn.exit_code, 0) << drawn.err;
  const std::string samples = folder_ / "drawn/samples.safetensors";
  const Words decode{"decode", "--vae", autoencoder_, "--out", folder_ / "images", "--npz", "--samples"};
  const ChildResult decoded = run_ito(decode + Words{samples});
  ASSERT_EQ(decoded.exit_code, 0) << decoded.err;
  const SafetensorsFile images = SafetensorsFile::open(folder_ / "images/samples.safetensors");
  images.check_shape("samples", {3, 3, 8, 8});
  EXPECT_EQ(images.read_i64("labels"), (std::vector<int64_t>{0, 1, 2}));
  for (const char* name : {"samples.png", "samples.npz"})
    EXPECT_TRUE(std::filesystem::exists(folder_ / "images/" + name)) << name;

  // The same codes, written without the scale that the model had them by, give the same images.
  const SafetensorsFile file = SafetensorsFile::open(samples);
  std::vector<float> plain = file.read_floats("samples");
  for (size_t i = 0; i < plain.size(); ++i) plain[i] = plain[i] / kScale[i / 16 % 4] + kShift[i / 16 % 4];
  SafetensorsWriter writer;
  writer.add("samples", {3, 4, 4, 4}, plain);
  writer.add("scale", {1}, std::vector<float>{0.18215f});
  writer.write(folder_ / "plain.safetensors");
  ASSERT_EQ(
      run_ito(decode + Words{folder_ / "plain.safetensors", "--out", folder_ / "again", "--batch", "2"}).exit_code, 0);
  EXPECT_EQ(SafetensorsFile::open(folder_ / "again/samples.safetensors").read_floats("samples"),
            images.read_floats("samples"));

  // What was drawn is data again, as it is.
  EXPECT_EQ(run_ito(train(samples) + Words{"--out", folder_ / "second", "--batch", "3"}).exit_code, 0);
  EXPECT_EQ(read_json_file(folder_ / "second/checkpoint-000003/latents.json").at("scale"), Json(kScale));
}

// A decoding that was killed goes on, and makes the file that it would have made at once; its labels may be real.
TEST_F(Latents, DecodingGoesOnWhereItWasEnded) {
  SafetensorsWriter writer;
  constexpr int64_t kCount = 40;
  std::vector<float> codes(kCount * 4 * 8 * 8), labels;
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = std::sin(0.3f * static_cast<float>(i));
  for (int64_t i = 0; i < 2 * kCount; ++i) labels.push_back(0.5f * static_cast<float>(i) - 3);
  writer.add("samples", {kCount, 4, 8, 8}, codes);
  writer.add("scale", {1}, std::vector<float>{1});
  writer.add("labels", {kCount, 2}, labels);
  writer.write(folder_ / "codes.safetensors");
  const auto words = [&](const char* out, const char* batch) {
    return Words{"decode", "--vae",       autoencoder_, "--samples", folder_ / "codes.safetensors",
                 "--out",  folder_ / out, "--batch",    batch,       "--npz"};
  };
  ASSERT_EQ(run_ito(words("whole", "7")).exit_code, 0);
  const auto bytes = [&](const char* file) { return read_whole_file(folder_ / file); };
  EXPECT_EQ(SafetensorsFile::open(folder_ / "whole/samples.safetensors").read_floats("labels"), labels);

  // As if it had been ended behind image 13: what is there is taken as it is, which other numbers in it show.
  std::filesystem::create_directories(folder_ / "out/samples.png/in-the-way");  // so that all parts stay
  EXPECT_EQ(run_ito(words("out", "3")).exit_code, 2);
  std::filesystem::remove_all(folder_ / "out/samples.png");
  std::filesystem::rename(folder_ / "out/parts/images-0+40", folder_ / "out/parts/images-0+13");
  const std::string file = folder_ / "out/parts/samples.safetensors";
  std::vector<uint8_t> images = read_whole_file(file);
  EXPECT_EQ(images, bytes("whole/samples.safetensors"));
  constexpr size_t kImageBytes = 3 * 16 * 16 * sizeof(float);
  const uint64_t first = SafetensorsFile::open(file).place_of("samples");
  std::fill_n(images.begin() + static_cast<std::ptrdiff_t>(first), kCount * kImageBytes, 0x3c);
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(images.data()), static_cast<std::streamsize>(images.size()));
  const ChildResult other = run_ito(words("out", "5") + Words{"--precision", "bf16"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("holds parts of a run with --precision \"fp32\", and now it is \"bf16\""), std::string::npos)
      << other.err;
  const ChildResult others =
      run_ito(words("out", "5") + Words{"--samples", write_codes("others.safetensors", {1}, {})});
  EXPECT_NE(others.err.find("holds parts of a run that did not have the same samples;"), std::string::npos)
      << others.err;
  const ChildResult result = run_ito(words("out", "5"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("going on: 13 of 40 images are there\n"), std::string::npos) << result.err;
  const std::vector<uint8_t> whole = bytes("whole/samples.safetensors"), gone_on = bytes("out/samples.safetensors");
  ASSERT_EQ(gone_on.size(), whole.size());
  const size_t end = first + 13 * kImageBytes;
  EXPECT_TRUE(std::equal(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(first), gone_on.begin()));
  EXPECT_TRUE(std::all_of(&gone_on[first], &gone_on[end], [](uint8_t b) { return b == 0x3c; }));
  EXPECT_TRUE(std::equal(&whole[end], whole.data() + whole.size(), &gone_on[end]));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/parts"));
}

TEST_F(Latents, WithoutTheirScaleAreRefused) {
  const auto refused = [&](const Words& words, const std::string& out) {
    const ChildResult result = run_ito(words);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_EQ(result.error_lines(), 1u) << result.err;
    EXPECT_FALSE(std::filesystem::exists(out));
    return result.err;
  };
  const auto data = [&](std::vector<float> scale, std::vector<float> shift) {
    return refused(train(write_codes("codes.safetensors", std::move(scale), std::move(shift))), folder_ / "run");
  };
  EXPECT_NE(data({}, {}).find("no tensor 'scale'"), std::string::npos);
  EXPECT_NE(data({}, {1}).find("'shift' and no 'scale'"), std::string::npos);
  EXPECT_NE(data({1, 2}, {}).find("2 numbers for 4 channels"), std::string::npos);
  EXPECT_NE(data({-1}, {}).find("a scale above 0"), std::string::npos);
  const Words decode{"decode", "--vae", autoencoder_, "--out", folder_ / "images", "--samples"};
  EXPECT_NE(
      refused(decode + Words{write_codes("none.safetensors", {}, {})}, folder_ / "images").find("no tensor 'scale'"),
      std::string::npos);
  EXPECT_NE(refused(decode + Words{folder_ / "published/vae/diffusion_pytorch_model.safetensors"}, folder_ / "images")
                .find("no tensor 'samples'"),
            std::string::npos);
}

}  // namespace
}  // namespace ito
