// SPDX-License-Identifier: Apache-2.0
// `ito sample` and `ito predict` from outside: what they write, and that an image has the same bits whatever it is
// computed beside.
#include <sys/file.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>

#include "engine/checkpoint/weights.h"
#include "engine/reverse/predictor.h"
#include "kernels/random/philox.h"
#include "models/model.h"
#include "tests/tools/tiny_run.h"

namespace ito {
namespace {

constexpr int64_t kRow = kTinySize * kTinySize;  // floats an image

class SampleCommand : public testing::Test {
 protected:
  // One model for all tests here.
  static void SetUpTestSuite() {
    tiny_ = new TinyRun;
    const ChildResult trained = run_ito(tiny_->train + Words{"--out", *tiny_ / "run", "--steps", "4"});
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
  }
  static void TearDownTestSuite() { delete tiny_; }

  static std::string path(const std::string& name) { return *tiny_ / name; }

  static Words sample_words(const std::string& name, const Words& more) {
    return Words{"sample", "--checkpoint", path("run"), "--out", path(name), "--seed", "3", "--count", "8"} + more;
  }

  // Draws into a folder of that name and returns `samples`.
  static std::vector<float> sample(const std::string& name, const Words& more) {
    const ChildResult result = run_ito(sample_words(name, more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    if (result.exit_code != 0) return {};
    return SafetensorsFile::open(path(name + "/samples.safetensors")).read_f32("samples");
  }

  static TinyRun* tiny_;
};
TinyRun* SampleCommand::tiny_ = nullptr;

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return !a.empty() && a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<float> rows(const std::vector<float>& samples, int64_t first, int64_t count) {
  return {samples.begin() + first * kRow, samples.begin() + (first + count) * kRow};
}

const Words kDdpm{"--sampler", "ddpm", "--steps", "12"};
const Words kDdim{"--sampler", "ddim", "--steps", "6"};
const Words kNoisyDdim{"--sampler", "ddim", "--steps", "6", "--set", "eta=0.7"};

TEST_F(SampleCommand, WritesSamplesAndPictures) {
  for (const Words& sampler : {kDdpm, kDdim}) {
    const std::string name = "out-" + sampler[1];
    sample(name, sampler);
    const SafetensorsFile file = SafetensorsFile::open(path(name + "/samples.safetensors"));
    file.check_shape("samples", {8, 1, 8, 8});
    EXPECT_EQ(file.entry("samples").type, TensorType::F32);
    double least = 1, most = -1;
    // Both end on the estimate of x0, clipped to [-1, 1].
    for (float v : file.read_f32("samples")) {
      EXPECT_LE(std::fabs(v), 1.0f);
      least = std::min<double>(least, v);
      most = std::max<double>(most, v);
    }
    EXPECT_GT(most - least, 0.1);
    EXPECT_EQ(file.read_i64("labels"), (std::vector<int64_t>{0, 1, 2, 0, 1, 2, 0, 1}));
    const Image grid = read_image(path(name + "/samples.png"));  // three to a row
    EXPECT_EQ(grid.width, 3 * 8 + 2 * 2);
    EXPECT_EQ(grid.height, 3 * 8 + 2 * 2);
    EXPECT_FALSE(std::filesystem::exists(path(name + "/strip.png")));
  }
  // Unclipped estimates of a network that has learned nothing leave the range, so the clip above does something.
  float largest = 0;
  for (float v : sample("unclipped", kDdim + Words{"--no-clip"})) largest = std::max(largest, std::fabs(v));
  EXPECT_GT(largest, 1.0f);
}

TEST_F(SampleCommand, AnImageHasTheSameBitsInEveryBatch) {
  for (const Words& sampler : {kDdpm, kDdim, kNoisyDdim}) {
    const std::vector<float> whole = sample("batch-8", sampler + Words{"--batch", "8"});
    for (const char* batch : {"1", "3"}) {
      EXPECT_TRUE(same_bits(whole, sample(std::string("batch-") + batch, sampler + Words{"--batch", batch})))
          << sampler[1] << " batch " << batch;
    }
    for (const char* threads : {"1", "2", "5"})
      EXPECT_TRUE(same_bits(whole, sample(std::string("threads-") + threads, sampler + Words{"--threads", threads})))
          << sampler[1] << " threads " << threads;
    const std::vector<float> later = sample("first", sampler + Words{"--first", "5", "--count", "3", "--batch", "2"});
    EXPECT_TRUE(same_bits(rows(whole, 5, 3), later)) << sampler[1] << " --first";
    EXPECT_FALSE(same_bits(whole, sample("seed", sampler + Words{"--seed", "4"}))) << sampler[1];
  }
  EXPECT_FALSE(same_bits(sample("eta-0", kDdim), sample("eta", kNoisyDdim)));
}

TEST_F(SampleCommand, StartsFromGivenNoise) {
  std::vector<float> noise(8 * kRow);
  for (size_t i = 0; i < noise.size(); ++i)
    noise[i] = 3.0f * uniform01(philox4x32(1, static_cast<uint32_t>(i), 0, 0, 0).v[0]) - 1.5f;
  std::vector<float> reversed;
  for (int i = 7; i >= 0; --i)
    reversed.insert(reversed.end(), noise.begin() + i * kRow, noise.begin() + (i + 1) * kRow);
  const auto write = [&](const std::string& name, const std::vector<float>& values) {
    SafetensorsWriter writer;
    writer.add("noise", {8, 1, 8, 8}, values);
    writer.write(path(name));
    return path(name);
  };
  const Words one_class = kDdim + Words{"--class", "1", "--initial-noise"};
  const std::vector<float> drawn = sample("drawn", kDdim + Words{"--class", "1"});
  const std::vector<float> given = sample("given", one_class + Words{write("noise.safetensors", noise)});
  EXPECT_FALSE(same_bits(drawn, given));
  // Deterministic ddim: the noise alone decides, not the seed, the batch or the place in it.
  EXPECT_TRUE(same_bits(given, sample("other-seed", one_class + Words{path("noise.safetensors"), "--seed", "9"})));
  EXPECT_TRUE(same_bits(given, sample("batches", one_class + Words{path("noise.safetensors"), "--batch", "3"})));
  const std::vector<float> back = sample("reversed", one_class + Words{write("reversed.safetensors", reversed)});
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(same_bits(rows(given, i, 1), rows(back, 7 - i, 1))) << i;
  EXPECT_NE(refusal(sample_words("no", one_class + Words{path("noise.safetensors"), "--count", "7"})).find("noise"),
            std::string::npos);
  std::filesystem::rename(write("noise.safetensors", noise), path("given/samples.safetensors"));
  EXPECT_NE(refusal(sample_words("given", one_class + Words{path("given/samples.safetensors")}))
                .find("--out " + path("given") + ": its samples.safetensors is --initial-noise "),
            std::string::npos);
}

TEST_F(SampleCommand, DrawsAStrip) {
  const std::vector<float> plain = sample("plain", kDdpm);
  EXPECT_TRUE(same_bits(plain, sample("window", kDdpm + Words{"--profile-steps", "3:12", "--batch", "3"})));
  EXPECT_TRUE(same_bits(plain, sample("strip", kDdpm + Words{"--strip", "--profile-steps", "1:2"})))
      << "watching changes nothing";
  const Image strip = read_image(path("strip/strip.png"));  // eight moments, noised above, denoised below
  EXPECT_EQ(strip.width, 8 * 8 + 7 * 2);
  EXPECT_EQ(strip.height, 2 * 8 + 2);
  // The lower right corner is the first image itself.
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x)
      EXPECT_NEAR(strip.at(10 + y, 70 + x), 127.5 * (plain[y * 8 + x] + 1), 0.51) << y << " " << x;
}

// A second drawing into the folder of a first leaves nothing that shows the first one's images.
TEST_F(SampleCommand, LeavesNoPictureOfOtherImages) {
  sample("twice", kDdim + Words{"--strip"});
  const auto strip = path("twice/strip.png"), grid = path("twice/samples.png");
  const ChildResult again = run_ito(sample_words("twice", kDdim + Words{"--seed", "8"}));
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_NE(again.err.find("removed " + strip + ", which showed images drawn before\n"), std::string::npos)
      << again.err;
  EXPECT_FALSE(std::filesystem::exists(strip));
  EXPECT_EQ(run_ito(sample_words("twice", kDdim)).err.find("removed"), std::string::npos);
  EXPECT_EQ(run_ito(sample_words("twice", kDdim + Words{"--strip"})).exit_code, 0);
  EXPECT_EQ(run_ito(sample_words("twice", kDdim + Words{"--strip"})).err.find("removed"), std::string::npos);
}

// The place of the second file is barred: the grid of the images before goes all the same.
TEST_F(SampleCommand, LeavesNoOlderPictureWhereAFileFails) {
  sample("barred", kDdim + Words{"--strip"});
  std::filesystem::remove(path("barred/samples.png"));
  std::filesystem::create_directories(path("barred/samples.png"));
  EXPECT_EQ(run_ito(sample_words("barred", kDdim + Words{"--strip", "--seed", "8"})).exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(path("barred/strip.png")));
}

// Killed at drawn moments, and begun again with other batches: the files of an unbroken run, and no more.
TEST_F(SampleCommand, GoesOnWhereItWasKilled) {
  const Words words = kDdpm + Words{"--count", "60", "--steps", "20", "--npz", "--strip"};
  const auto begun = std::chrono::steady_clock::now();
  sample("whole", words + Words{"--batch", "5"});
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
  std::mt19937 draw(std::random_device{}());
  std::string moments;
  for (const char* batch : {"5", "3"}) {
    const double moment = taken.count() * std::uniform_real_distribution<double>(0.2, 0.9)(draw);
    moments += join_text(moment, " of ", taken.count(), " s; ");
    Words killed = sample_words("out", words + Words{"--batch", batch});
    killed.insert(killed.begin(), {"/usr/bin/timeout", "-s", "KILL", std::to_string(moment), program_path("ito")});
    run_child(killed);
  }
  SCOPED_TRACE(moments);
  sample("out", words + Words{"--batch", "4"});
  expect_same_files(path("whole"), path("out"));
}

TEST_F(SampleCommand, GoesOnFromItsParts) {
  const Words words = kNoisyDdim + Words{"--strip", "--npz"};
  const std::vector<float> whole = sample("whole-parts", words);
  std::filesystem::create_directories(path("held/samples.png/in-the-way"));  // so that all parts stay
  EXPECT_EQ(run_ito(sample_words("held", words + Words{"--batch", "3"})).exit_code, 2);
  const std::string parts = path("held/parts"), file = parts + "/samples.safetensors",
                    again = "; give what was given then to go on, or remove the folder to begin anew\n";
  EXPECT_EQ(read_bytes(file), read_bytes(path("whole-parts/samples.safetensors")));
  EXPECT_EQ(refusal(sample_words("held", words + Words{"--seed", "4"})),
            "ito: " + parts + ": holds parts of a run with --seed 3, and now it is 4" + again);
  EXPECT_EQ(refusal(sample_words("held", words + Words{"--set", "eta=0.5"})),
            "ito: " + parts + ": holds parts of a run with --set eta \"0.7\", and now it is \"0.5\"" + again);
  const int other = open(parts.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(refusal(sample_words("held", words)),
            "ito: " + parts + ": another command is at work there; wait for it or stop it\n");
  close(other);
  // What is there is taken as it is, and what is missing drawn: images 2, 6 and 7.
  std::filesystem::rename(parts + "/images-0+8", parts + "/images-0+2");
  std::ofstream(parts + "/images-3+3");
  std::string bytes = read_bytes(file);
  const size_t data = bytes.size() - sizeof(float) * whole.size();
  std::vector<float> changed(whole.size(), 0.25f);
  std::memcpy(bytes.data() + data, changed.data(), bytes.size() - data);
  std::ofstream(file, std::ios::binary) << bytes;
  std::filesystem::remove_all(path("held/samples.png"));
  const ChildResult result = run_ito(sample_words("held", words + Words{"--batch", "2"}));
  EXPECT_NE(result.err.find("going on: 5 of 8 images are there\n"), std::string::npos) << result.err;
  const std::vector<float> got = SafetensorsFile::open(path("held/samples.safetensors")).read_f32("samples");
  for (int i = 0; i < 8; ++i) {
    const bool drawn = i == 2 || i > 5;
    EXPECT_TRUE(same_bits(rows(got, i, 1), rows(drawn ? whole : changed, i, 1))) << i;
  }
  EXPECT_EQ(read_bytes(path("held/strip.png")), read_bytes(path("whole-parts/strip.png")));
  EXPECT_FALSE(std::filesystem::exists(parts));
}

TEST_F(SampleCommand, RefusesBadValues) {
  const std::pair<Words, const char*> cases[] = {{{"--sampler", "eular"}, "sampler 'eular'"},
                                                 {{"--count", "0"}, "--count 0"},
                                                 {{"--batch", "0"}, "--batch 0"},
                                                 {{"--first", "-1"}, "--first -1"},
                                                 {{"--steps", "-1"}, "--steps -1"},
                                                 {{"--steps", "100000"}, "steps"},
                                                 {{"--class", "3"}, "--class 3"},
                                                 {{"--spacing", "cosine"}, "--spacing"},
                                                 {{"--profile-steps", "2"}, "--profile-steps '2': expected"},
                                                 {{"--steps", "4", "--profile-steps", "2:5"}, " has 4 rows"},
                                                 {{"--sampler", "ddim", "--set", "eta=-1"}, "eta"},
                                                 {{"--precision", "fp8"}, "--precision fp8"},
                                                 {{"--height", "7", "--width", "8"}, "7 x 8"},
                                                 {{"--initial-noise", "no-such-file"}, "no-such-file"},
                                                 {{"--seed", "x"}, "--seed"}};
  for (const auto& [words, mark] : cases) {
    SCOPED_TRACE(words[0] + " " + words[1]);
    const std::string message = refusal(sample_words("refused", words));
    EXPECT_NE(message.find(mark), std::string::npos) << message;
  }
}

constexpr int kCount = 5;

class PredictCommand : public SampleCommand {
 protected:
  // Timesteps as the given type; returns the path.
  static std::string write_input(const std::string& name, TensorType type) {
    SafetensorsWriter writer;
    writer.add("sample", {kCount, 1, 8, 8}, sample_values());
    writer.add_i64("class_labels", {kCount}, {2, 0, 1, 1, 2});
    std::vector<uint8_t> bytes;
    const auto append = [&](const auto& value) {
      const auto* begin = reinterpret_cast<const uint8_t*>(&value);
      bytes.insert(bytes.end(), begin, begin + sizeof(value));
    };
    for (const int t : kTimesteps) {
      if (type == TensorType::I64) append(static_cast<int64_t>(t));
      if (type == TensorType::I32) append(static_cast<int32_t>(t));
      if (type == TensorType::F32) append(static_cast<float>(t));
      if (type == TensorType::F64) append(static_cast<double>(t));
      if (type == TensorType::I16) append(static_cast<int16_t>(t));
    }
    writer.add_raw("timestep", type, {kCount}, bytes);
    writer.write(path(name));
    return path(name);
  }

  static std::vector<float> sample_values() {
    std::vector<float> values(kCount * kRow);
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(0.7f * static_cast<float>(i));
    return values;
  }

  static Words predict_words(const std::string& input, const Words& more = {}) {
    return Words{"predict", "--checkpoint", path("run"), "--input", input, "--output", path("prediction.safetensors")} +
           more;
  }

  static std::vector<float> predict_from(const std::string& input, const Words& more = {}) {
    const ChildResult result = run_ito(predict_words(input, more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    if (result.exit_code != 0) return {};
    const SafetensorsFile file = SafetensorsFile::open(path("prediction.safetensors"));
    file.check_shape("prediction", {kCount, 1, 8, 8});
    return file.read_f32("prediction");
  }

  static constexpr int kTimesteps[kCount] = {0, 17, 500, 998, 999};
};

TEST_F(PredictCommand, IsTheNetwork) {
  const std::string input = write_input("i64.safetensors", TensorType::I64);
  const std::vector<float> got = predict_from(input);
  const Model model = read_model(path("run"));
  const Network network = model.network();
  const std::vector<float> arena = read_weights(model.weights_file(), parameters_of(network));
  Stream stream;
  DeviceBuffer<float> weights(arena.size(), "weights");
  weights.upload(stream, arena.data());
  // One channel: planar and interleaved are the same.
  const std::vector<float> want = predict(network, weights.data(), DType::F32, kCount, sample_values(),
                                          {std::begin(kTimesteps), std::end(kTimesteps)}, {2, 0, 1, 1, 2});
  EXPECT_TRUE(same_bits(got, want));
  for (const char* batch : {"1", "2", "4"})
    EXPECT_TRUE(same_bits(got, predict_from(input, {"--batch", batch}))) << "batch " << batch;
  for (const char* threads : {"1", "3"})
    EXPECT_TRUE(same_bits(got, predict_from(input, {"--threads", threads}))) << "threads " << threads;
}

TEST_F(PredictCommand, TakesTimestepsOfThreeTypes) {
  const std::vector<float> i64 = predict_from(write_input("i64.safetensors", TensorType::I64));
  EXPECT_TRUE(same_bits(i64, predict_from(write_input("i32.safetensors", TensorType::I32))));
  EXPECT_TRUE(same_bits(i64, predict_from(write_input("f32.safetensors", TensorType::F32))));
  for (TensorType type : {TensorType::F64, TensorType::I16}) {
    const std::string input = write_input("other.safetensors", type);
    EXPECT_EQ(refusal(predict_words(input)),
              "ito: " + input + ": timestep is " + name_of(type) + "; expected I64, I32 or F32\n");
  }
}

TEST_F(PredictCommand, TakesTimestepsOfTheModelsScheduleAlone) {
  const std::string model = path("short"), bare = path("run/checkpoint-000004/unet");
  std::filesystem::copy(path("run/checkpoint-000004"), model, std::filesystem::copy_options::recursive);
  Json scheduler = read_json_file(model + "/scheduler/scheduler_config.json");
  scheduler["num_train_timesteps"] = 50;
  write_json_file(model + "/scheduler/scheduler_config.json", scheduler);
  const auto predict_at = [&](const std::string& checkpoint, float t) {
    SafetensorsWriter writer;
    writer.add("sample", {2, 1, 8, 8}, std::vector<float>(2 * kRow, 0.5f));
    writer.add("timestep", {2}, {3, t});
    writer.add_i64("class_labels", {2}, {0, 1});
    writer.write(path("at.safetensors"));
    return Words{"predict", "--checkpoint", checkpoint, "--input", path("at.safetensors"), "--output", path("at.out")};
  };
  for (const auto& [checkpoint, steps] : {std::pair{model, 50}, {bare, 1000}, {path("run"), 1000}}) {
    const auto last = static_cast<float>(steps - 1);
    for (const float t : {0.0f, last - 0.5f, last}) EXPECT_EQ(run_ito(predict_at(checkpoint, t)).exit_code, 0) << t;
    for (const float t : {-0.25f, -7.0f, last + 0.5f, last + 1, 1e30f})
      EXPECT_EQ(refusal(predict_at(checkpoint, t)),
                join_text("ito: ", path("at.safetensors"), ": timestep holds ", t,
                          "; the model's noise schedule has timesteps 0 to ", steps - 1, "\n"));
  }
}

TEST_F(PredictCommand, RefusesToWriteOverWhatItReads) {
  const std::string input = write_input("kept.safetensors", TensorType::I64), before = read_bytes(input);
  std::filesystem::create_symlink(input, path("link.safetensors"));
  for (const std::string& output : {input, path("link.safetensors")})
    EXPECT_EQ(refusal(predict_words(input, {"--output", output})),
              "ito: --output " + output + ": is --input, " + input + "; choose another file\n");
  const std::string weights = path("run/checkpoint-000004/unet/diffusion_pytorch_model.safetensors");
  EXPECT_NE(refusal(predict_words(input, {"--output", weights})).find(": is the model's weights, "), std::string::npos);
  EXPECT_EQ(read_bytes(input), before);
}

TEST_F(PredictCommand, RefusesInputsThatDoNotFit) {
  const auto message = [&](const std::vector<int64_t>& sample_shape, int64_t timesteps, std::vector<int64_t> labels) {
    SafetensorsWriter writer;
    int64_t count = 1;
    for (int64_t extent : sample_shape) count *= extent;
    writer.add("sample", sample_shape, std::vector<float>(count, 0.5f));
    if (timesteps) writer.add_i64("timestep", {timesteps}, std::vector<int64_t>(timesteps, 1));
    if (!labels.empty()) writer.add_i64("class_labels", {static_cast<int64_t>(labels.size())}, labels);
    writer.write(path("bad.safetensors"));
    return refusal(predict_words(path("bad.safetensors")));
  };
  EXPECT_NE(message({2, 1, 8, 8}, 0, {0, 1}).find("has no tensor timestep"), std::string::npos);
  EXPECT_NE(message({2, 1, 8, 8}, 3, {0, 1}).find("timestep"), std::string::npos);
  EXPECT_NE(message({2, 3, 8, 8}, 2, {0, 1}).find("3 channels; the model takes 1"), std::string::npos);
  EXPECT_NE(message({2, 8, 8}, 2, {0, 1}).find("3 dimensions"), std::string::npos);
  EXPECT_NE(message({2, 1, 7, 8}, 2, {0, 1}).find("7 x 8"), std::string::npos);
  EXPECT_NE(message({2, 1, 8, 8}, 2, {}).find("has no tensor class_labels"), std::string::npos);
  EXPECT_NE(message({2, 1, 8, 8}, 2, {0, 3}).find("classes 0 to 2"), std::string::npos);
  EXPECT_NE(message({2, 1, 8, 8}, 2, {0, 1, 2}).find("class_labels"), std::string::npos);
}

}  // namespace
}  // namespace ito
