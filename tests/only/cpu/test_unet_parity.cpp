// SPDX-License-Identifier: Apache-2.0
// The UNet against PyTorch: outputs and every gradient of the random networks that tests/parity/make_cases.py draws and
// evaluates in fp64. Bounds are for fp32 arithmetic of a few hundred sums of up to some thousand terms each.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/checkpoint/find_model.h"
#include "engine/checkpoint/weights.h"
#include "engine/io/safetensors.h"
#include "kernels/nn/pointwise.h"
#include "models/unet/unet.h"
#include "tests/tools/child_process.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr int kCases = 24;
constexpr double kOutputBound = 2e-5;    // of the largest output
constexpr double kGradientBound = 1e-4;  // of the tensor's norm
// Some gradients are zero by nature (a bias whose shift a norm removes, to_k.bias): rounding is all they hold, which
// has the size of the gradients that cancel in them. The bound is taken of at least this part of the whole gradient.
constexpr double kGradientFloor = 1e-3;
constexpr double kBf16Bound = 5e-2;  // norm of the difference over norm of the output: 8 bits, some fifty layers
constexpr const char* kPython = "/usr/bin/python3";

double norm_of(const std::vector<float>& values) {
  double sum = 0;
  for (float v : values) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

double difference_norm(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b[i], 2);
  return std::sqrt(sum);
}

// (N, C, H, W) to (N, H, W, C), and back with swapped roles: c = pixels, pixels = c.
std::vector<float> transposed(const std::vector<float>& from, int n, int64_t c, int64_t pixels) {
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
  UNetConfig config;
  Network network;
  ParameterLayout layout;
  std::vector<float> weights;  // arena
  int n = 0;
  int64_t pixels = 0;
  std::vector<float> sample, timestep, labels;  // sample NHWC
  SafetensorsFile expected;
};

Case load_case(const std::string& folder) {
  const ModelFiles files = find_model(folder + "/unet", {});
  const SafetensorsFile input = SafetensorsFile::open(folder + "/input.safetensors");
  Case c{fs::path(folder).filename().string(),
         unet_config_from_json(read_json_file(files.config), files.config, nullptr),
         {},
         {},
         {},
         0,
         0,
         {},
         {},
         {},
         SafetensorsFile::open(folder + "/expected.safetensors")};
  const std::vector<int64_t> shape = input.entry("sample").shape;
  c.n = static_cast<int>(shape.at(0));
  c.pixels = shape.at(2) * shape.at(3);
  c.network = unet_network(c.config, static_cast<int>(shape.at(2)), static_cast<int>(shape.at(3)));
  c.layout = parameters_of(c.network);
  c.weights = read_weights(files.weights, c.layout);
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

double largest_of(const std::vector<float>& values) {
  double largest = 0;
  for (float v : values) largest = std::max(largest, std::fabs(static_cast<double>(v)));
  return largest;
}

// Largest difference over the largest expected value.
double output_error(const Case& c, const std::vector<float>& output) {
  const std::vector<float> want = c.expected.read_f32("output");
  if (want.size() != output.size()) return INFINITY;
  double difference = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = std::fabs(static_cast<double>(output[i]) - want[i]);
    if (!(d <= difference)) difference = d;
  }
  return difference / largest_of(want);
}

class UNetParity : public testing::Test {
 protected:
  // Drawing the cases takes the better part of a minute, so they are kept while the scripts stay the same.
  static void SetUpTestSuite() {
    has_torch_ = run_child({kPython, "-c", "import torch"}).exit_code == 0;
    if (!has_torch_) return;
    const fs::path scripts = ITO_SOURCE_DIR "/tests/parity", folder = cases_folder();
    std::string stamp = std::to_string(kCases);
    for (const char* script : {"make_cases.py", "unet_reference.py", "safetensors_io.py"})
      stamp += read_bytes((scripts / script).string());
    if (read_bytes((folder / "stamp").string()) == stamp) return;
    fs::remove_all(folder);
    const ChildResult made = run_child({kPython, (scripts / "make_cases.py").string(), folder.string(), "--count",
                                        std::to_string(kCases), "--seed", "1"});
    ASSERT_EQ(made.exit_code, 0) << made.err;
    std::ofstream(folder / "stamp", std::ios::binary) << stamp;
  }

  void SetUp() override {
    if (has_torch_) return;
    const char* required = std::getenv("ITO_REQUIRE_ORACLES");
    if (required && std::string(required) == "1")
      FAIL() << kPython << " cannot import torch, the oracle of this test; install python3-torch";
    GTEST_SKIP() << kPython << " cannot import torch, the oracle of this test; install python3-torch";
  }

  static fs::path cases_folder() { return ITO_BINARY_DIR "/tests/parity-cases"; }
  static std::string case_folder(int i) { return (cases_folder() / join_text("case-", i < 10 ? "0" : "", i)).string(); }

  static bool has_torch_;
};
bool UNetParity::has_torch_ = false;

TEST_F(UNetParity, OutputsAndParameterGradients) {
  Worst output, gradient;
  std::vector<int> labels(3, 0);
  int shared = 0;
  for (int i = 0; i < kCases; ++i) {
    const Case c = load_case(case_folder(i));
    SCOPED_TRACE(c.name);
    ++labels[static_cast<int>(c.network.labels)];
    if (c.config.time_embedding_type == "learned" && c.config.class_embed_type == "timestep") {
      Program program({c.n, Mode::Training, DType::F32});  // one table for times and labels
      EXPECT_EQ(message_of([&] { plan_network(program, c.network); }),
                "time_proj: shares time_proj.weight with another op; training a shared parameter is not implemented, "
                "give each op its own");
      ++shared;
      continue;
    }
    Evaluation run(c, Mode::Training, DType::F32);
    const double error = output_error(c, run.output);
    EXPECT_LE(error, kOutputBound);
    output.take(error, c.name);

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
      gradient.take(relative, c.name + " " + p.name);
    }
    EXPECT_EQ(ours, wanted);
  }
  for (LabelKind kind : {LabelKind::None, LabelKind::Index, LabelKind::Value})
    EXPECT_GT(labels[static_cast<int>(kind)], 0) << "no case has labels of kind " << static_cast<int>(kind);
  EXPECT_LT(shared, 4) << "of " << kCases;
  std::printf("worst output %.2g (%s), worst parameter gradient %.2g (%s)\n", output.value, output.where.c_str(),
              gradient.value, gradient.where.c_str());
}

TEST_F(UNetParity, InputGradients) {
  Worst worst;
  for (int i = 0; i < kCases; ++i) {
    const Case c = load_case(case_folder(i));
    SCOPED_TRACE(c.name);
    Evaluation run(c, Mode::InputGradient, DType::F32);
    EXPECT_LE(output_error(c, run.output), kOutputBound);
    run.backward();
    const std::vector<float> want = c.expected.read_f32("grad_input"), got = run.input_gradient();
    ASSERT_EQ(got.size(), want.size());
    const double relative = difference_norm(got, want) / norm_of(want);
    EXPECT_LE(relative, kGradientBound);
    worst.take(relative, c.name);
  }
  std::printf("worst input gradient %.2g (%s)\n", worst.value, worst.where.c_str());
}

// Loose on purpose: it says that bf16 computes the same network, not how well.
TEST_F(UNetParity, OutputsInBf16) {
  if (!device_has_bf16()) GTEST_SKIP() << "this processor has no bf16 products";
  Worst worst;
  for (int i = 0; i < kCases; ++i) {
    const Case c = load_case(case_folder(i));
    SCOPED_TRACE(c.name);
    const Evaluation run(c, Mode::Inference, DType::BF16);
    const std::vector<float> want = c.expected.read_f32("output");
    ASSERT_EQ(run.output.size(), want.size());
    const double relative = difference_norm(run.output, want) / norm_of(want);
    EXPECT_LE(relative, kBf16Bound);
    EXPECT_GT(relative, 1e-5) << "this was not bf16";
    worst.take(relative, c.name);
  }
  std::printf("worst bf16 output %.2g of its norm (%s)\n", worst.value, worst.where.c_str());
}

TEST_F(UNetParity, RefusesOtherActivations) {
  Json config = read_json_file(find_model(case_folder(0) + "/unet", {}).config);
  for (const char* act_fn : {"mish", "gelu", "relu", "SiLU", ""}) {
    config["act_fn"] = act_fn;
    EXPECT_EQ(message_of([&] { unet_config_from_json(config, "config.json", nullptr); }),
              join_text("config.json: act_fn is '", act_fn, "', which is not implemented; use silu, swish"));
  }
  for (const char* act_fn : {"silu", "swish"}) {
    config["act_fn"] = act_fn;
    EXPECT_EQ(unet_config_from_json(config, "config.json", nullptr).act_fn, act_fn);
  }
}

}  // namespace
}  // namespace ito
