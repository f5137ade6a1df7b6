// SPDX-License-Identifier: Apache-2.0
// Networks against PyTorch: cases that scripts of tests/parity draw and evaluate in fp64, read, run and compared.
// Bounds are for fp32 arithmetic of a few hundred sums of up to some thousand terms each.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/checkpoint/weights.h"
#include "engine/io/safetensors.h"
#include "kernels/nn/pointwise.h"
#include "models/model.h"
#include "tests/tools/child_process.h"

namespace ito {

inline constexpr double kOutputBound = 2e-5;    // of the largest output
inline constexpr double kGradientBound = 1e-4;  // of the tensor's norm
// Some gradients are zero by nature (a bias whose shift a norm removes, to_k.bias): rounding is all they hold, which
// has the size of the gradients that cancel in them. The bound is taken of at least this part of the whole gradient.
inline constexpr double kGradientFloor = 1e-3;
inline constexpr double kBf16Bound = 5e-2;  // norm of the difference over norm of the output: 8 bits, some fifty layers
inline constexpr const char* kPython = "/usr/bin/python3";

inline double norm_of(const std::vector<float>& values) {
  double sum = 0;
  for (float v : values) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

inline double difference_norm(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return std::sqrt(sum);
}

// (N, C, H, W) to (N, H, W, C), and back with swapped roles: c = pixels, pixels = c.
inline std::vector<float> transposed(const std::vector<float>& from, int n, int64_t c, int64_t pixels) {
  std::vector<float> to(from.size());
  for (int i = 0; i < n; ++i)
    for (int64_t k = 0; k < c; ++k)
      for (int64_t p = 0; p < pixels; ++p) to[(i * pixels + p) * c + k] = from[(i * c + k) * pixels + p];
  return to;
}

struct Worst {
  double value = 0;
  std::string where = "nowhere";
  void take(double v, const std::string& place) {
    if (!(v <= value)) *this = {v, place};  // NaN counts
  }
};

struct Case {
  std::string name;
  Json config;
  Network network;
  ParameterLayout layout = {};
  std::vector<float> weights = {};  // arena
  int n = 0;
  int64_t pixels = 0;
  std::vector<float> sample = {}, timestep = {}, labels = {};  // sample NHWC
  SafetensorsFile expected;
};

// folder/of_network holds the model.
inline Case load_case(const std::string& folder, const char* of_network) {
  const Model model = read_model(folder + "/" + of_network);
  const SafetensorsFile input = SafetensorsFile::open(folder + "/input.safetensors");
  const std::vector<int64_t> shape = input.entry("sample").shape;
  Case c{.name = std::filesystem::path(folder).filename().string(),
         .config = model.component().config,
         .network = model.network(static_cast<int>(shape.at(2)), static_cast<int>(shape.at(3))),
         .n = static_cast<int>(shape.at(0)),
         .pixels = shape.at(2) * shape.at(3),
         .expected = SafetensorsFile::open(folder + "/expected.safetensors")};
  c.layout = parameters_of(c.network);
  c.weights = read_weights(model.weights_file(), c.layout);
  c.sample = transposed(input.read_f32("sample"), c.n, shape.at(1), c.pixels);
  c.timestep = input.read_f32("timestep");
  if (input.has("class_labels")) c.labels = input.read_f32("class_labels");
  return c;
}

// One program on one case, with what it leaves behind.
class Evaluation {
 public:
  Evaluation(const Case& c, Mode mode, DType compute) : case_(c), program_({c.n, mode, compute}) {
    inputs_ = plan_network(program_, c.network);
    weights_ = {c.weights.size(), "weights"};
    weights_.upload(stream_, c.weights.data());
    gradients_ = {c.weights.size(), "gradients"};
    // A gradient that nobody writes shows up as the NaN that these bytes are.
    fill_bytes(stream_, gradients_.data(), 0xFF, gradients_.bytes());
    program_.bind(weights_.data(), mode == Mode::Training ? gradients_.data() : nullptr);
    program_.pack(stream_);
    put(program_.data(inputs_.sample), c.sample);
    put(program_.data(inputs_.timestep), c.timestep);
    put_labels();
    program_.forward(stream_);
    output = transposed(get(program_.data(program_.output()), c.n * row_of(program_.output())), c.n, c.pixels,
                        c.network.out_channels);
  }

  void backward() {
    put(program_.gradient(program_.output()),
        transposed(case_.expected.read_f32("cotangent"), case_.n, case_.network.out_channels, case_.pixels));
    program_.backward(stream_);
    gradients.resize(gradients_.count());
    gradients_.download(stream_, gradients.data());
  }

  std::vector<float> input_gradient() {
    const Value sample = inputs_.sample;
    return transposed(get(program_.gradient(sample), case_.n * row_of(sample)), case_.n, case_.pixels,
                      case_.network.image.channels);
  }

  std::vector<float> output;     // NCHW
  std::vector<float> gradients;  // arena

 private:
  int64_t row_of(Value v) const { return program_.info(v).row(); }

  void put(DataRef to, const std::vector<float>& values) {
    DeviceBuffer<float> staging(values.size(), "staging");
    staging.upload(stream_, values.data());
    convert(stream_, to, staging.data(), static_cast<int64_t>(values.size()));
    stream_.synchronize();
  }

  std::vector<float> get(ConstDataRef from, int64_t count) {
    DeviceBuffer<float> staging(count, "staging");
    convert(stream_, staging.data(), from, count);
    std::vector<float> values(count);
    staging.download(stream_, values.data());
    return values;
  }

  void put_labels() {
    if (case_.network.labels == LabelKind::None) return;
    const DataRef to = program_.data(inputs_.labels);
    if (case_.network.labels == LabelKind::Value) return put(to, case_.labels);
    const std::vector<int32_t> classes(case_.labels.begin(), case_.labels.end());
    copy_to_device(stream_, to.as<int32_t>(), classes.data(), classes.size() * sizeof(int32_t));
  }

  const Case& case_;
  Stream stream_;
  Program program_;
  NetworkInputs inputs_;
  DeviceBuffer<float> weights_, gradients_;
};

inline double largest_of(const std::vector<float>& values) {
  double largest = 0;
  for (float v : values) largest = std::max(largest, std::fabs(static_cast<double>(v)));
  return largest;
}

// Largest difference over the largest expected value.
inline double output_error(const Case& c, const std::vector<float>& output) {
  const std::vector<float> want = c.expected.read_f32("output");
  if (want.size() != output.size()) return INFINITY;
  double difference = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = std::fabs(static_cast<double>(output[i]) - want[i]);
    if (!(d <= difference)) difference = d;
  }
  return difference / largest_of(want);
}

// Of every parameter, and that both sides have the same ones.
inline void expect_gradients(const Case& c, Evaluation& run, Worst& worst) {
  run.backward();
  std::vector<std::string> wanted;
  double whole = 0;
  for (const std::string& name : c.expected.names())
    if (name.starts_with("grad.")) {
      wanted.push_back(name.substr(5));
      whole += std::pow(norm_of(c.expected.read_f32(name)), 2);
    }
  whole = std::sqrt(whole);
  std::vector<std::string> ours;
  for (const Parameter& p : c.layout.all()) {
    if (!p.trainable) continue;
    ours.push_back(p.name);
    const std::string name = "grad." + p.name;
    if (!c.expected.has(name)) continue;  // reported by the comparison of all names below
    EXPECT_EQ(c.expected.entry(name).shape, p.shape) << p.name;
    const std::vector<float> want = c.expected.read_f32(name), got = to_file_layout(p, run.gradients.data());
    const double scale = std::max(norm_of(want), kGradientFloor * whole);
    const double relative = difference_norm(got, want) / scale;
    EXPECT_LE(relative, kGradientBound) << p.name;
    worst.take(relative, c.name + " " + p.name);
  }
  EXPECT_EQ(ours, wanted);
}

inline void expect_input_gradient(const Case& c, Worst& worst) {
  Evaluation run(c, Mode::InputGradient, DType::F32);
  EXPECT_LE(output_error(c, run.output), kOutputBound);
  run.backward();
  const std::vector<float> want = c.expected.read_f32("grad_input"), got = run.input_gradient();
  ASSERT_EQ(got.size(), want.size());
  const double relative = difference_norm(got, want) / norm_of(want);
  EXPECT_LE(relative, kGradientBound);
  worst.take(relative, c.name);
}

// Loose on purpose: it says that bf16 computes the same network, not how well.
inline void expect_bf16_output(const Case& c, Worst& worst) {
  const Evaluation run(c, Mode::Inference, DType::BF16);
  const std::vector<float> want = c.expected.read_f32("output");
  ASSERT_EQ(run.output.size(), want.size());
  const double relative = difference_norm(run.output, want) / norm_of(want);
  EXPECT_LE(relative, kBf16Bound);
  EXPECT_GT(relative, 1e-5) << "this was not bf16";
  worst.take(relative, c.name);
}

inline bool has_torch() {
  static const bool has = run_child({kPython, "-c", "import torch"}).exit_code == 0;
  return has;
}

// The cases in `folder`, kept while the scripts stay the same: drawing them may take the better part of a minute. The
// first script makes them.
inline void draw_cases(const std::filesystem::path& folder, const std::vector<std::string>& scripts, int count) {
  const std::string at = ITO_SOURCE_DIR "/tests/parity/";
  std::string stamp = std::to_string(count);
  for (const std::string& script : scripts) stamp += read_bytes(at + script);
  if (read_bytes((folder / "stamp").string()) == stamp) return;
  std::filesystem::remove_all(folder);
  const ChildResult made =
      run_child({kPython, at + scripts.front(), folder.string(), "--count", std::to_string(count), "--seed", "1"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  std::ofstream(folder / "stamp", std::ios::binary) << stamp;
}

// Skips, or fails where oracles are required.
class WithTorch : public testing::Test {
 protected:
  void SetUp() override {
    if (has_torch()) return;
    const char* required = std::getenv("ITO_REQUIRE_ORACLES");
    if (required && std::string(required) == "1")
      FAIL() << kPython << " cannot import torch, the oracle of this test; install python3-torch";
    GTEST_SKIP() << kPython << " cannot import torch, the oracle of this test; install python3-torch";
  }
};

}  // namespace ito
