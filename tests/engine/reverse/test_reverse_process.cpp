// SPDX-License-Identifier: Apache-2.0
// The reverse loop as a whole: image i is a function of (seed, i) alone, and each step is the one in fp64.
#include "engine/reverse/reverse_process.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cmath>
#include <cstring>

#include "engine/reverse/predictor.h"
#include "kernels/diffusion/noising.h"
#include "tests/engine/reverse/model_with_weights.h"
#include "tests/ref/diffusion.h"
#include "tests/ref/reverse_row.h"

namespace ito::test {
namespace {

constexpr uint64_t kSeed = 77;
constexpr int kSteps = 3;

ReverseTable table_of(const char* sampler, const std::vector<std::string>& set = {}) {
  return tiny_table(sampler, kSteps, set);
}

ReverseSettings settings_of(int batch) {
  ReverseSettings settings;
  settings.batch = batch;
  settings.seed = kSeed;
  return settings;
}

// Images first .. first+count-1 in batches of `batch`, of classes that follow from their numbers.
std::vector<float> sample(Model& model, const char* sampler, int batch, int64_t first, int count, bool capture = true) {
  ReverseSettings settings = settings_of(batch);
  settings.capture = capture;
  ReverseProcess process(model.network, table_of(sampler), model.weights.data(), settings);
  std::vector<int32_t> labels(count);
  for (int i = 0; i < count; ++i) labels[i] = static_cast<int32_t>((first + i) % 3);
  return process.all(first, count, nullptr, labels.data()).numbers;
}

class ReverseLoop : public ::testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { set_device_threads(0); }
};

TEST_P(ReverseLoop, CapturedEqualsEager) {
  Model model(R"({"num_class_embeds": 3})");
  const std::vector<float> captured = sample(model, GetParam(), 2, 0, 4),
                           eager = sample(model, GetParam(), 2, 0, 4, false);
  EXPECT_EQ(captured, eager);
  for (float x : captured) ASSERT_TRUE(std::isfinite(x));
}

TEST_P(ReverseLoop, AnImageIsAFunctionOfItsNumber) {
  Model model(R"({"num_class_embeds": 3})");
  const int64_t row = model.network.image.size();
  const std::vector<float> all = sample(model, GetParam(), 8, 0, 8);
  EXPECT_EQ(sample(model, GetParam(), 1, 0, 8), all) << "one at a time";
  EXPECT_EQ(sample(model, GetParam(), 3, 0, 8), all) << "by threes, the last batch filled up";
  EXPECT_EQ(sample(model, GetParam(), 3, 5, 3), std::vector<float>(all.begin() + 5 * row, all.end())) << "from 5 on";
  EXPECT_NE(std::vector<float>(all.begin(), all.begin() + row),
            std::vector<float>(all.begin() + row, all.begin() + 2 * row));
  // A sampler may be asked for image 2^32 - 1 as for any other.
  EXPECT_EQ(sample(model, GetParam(), 2, 4294967294, 2), [&] {
    std::vector<float> two = sample(model, GetParam(), 1, 4294967294, 1);
    const std::vector<float> second = sample(model, GetParam(), 1, 4294967295, 1);
    two.insert(two.end(), second.begin(), second.end());
    return two;
  }());
}

TEST_P(ReverseLoop, ThreadsDoNotChangeTheBits) {
  Model model;
  set_device_threads(1);
  const std::vector<float> one = sample(model, GetParam(), 3, 0, 3);
  for (int threads : {2, 5}) {
    set_device_threads(threads);
    EXPECT_EQ(sample(model, GetParam(), 3, 0, 3), one) << threads << " threads";
  }
}

INSTANTIATE_TEST_SUITE_P(Samplers, ReverseLoop,
                         ::testing::ValuesIn(kSanitized ? std::vector<const char*>{"ddpm", "lms"}
                                                        : std::vector<const char*>{"ddpm", "ddim", "euler-ancestral",
                                                                                   "heun", "lms", "dpm++2m"}),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name)
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = c == '+' ? 'p' : '_';
                           return name;
                         });

TEST(ReverseProcess, GivenNoiseIsTheDrawnNoise) {
  Model model;
  const int n = 3;
  for (const char* sampler : {"ddpm", "heun"}) {  // heun scales what it is given, as it does what it draws
    ReverseProcess process(model.network, table_of(sampler), model.weights.data(), settings_of(2));
    const size_t count = static_cast<size_t>(n * model.network.image.size());
    const std::vector<float> drawn = process.all(10, n, nullptr, nullptr).numbers;
    DeviceBuffer<float> device_noise(count, "noise");
    SampleCounter counter;
    counter.seed = kSeed;
    counter.first = 10;
    fill_normal(model.stream, device_noise.data(), counter, purpose_word(Purpose::InitialNoise), n,
                model.network.image.size());
    std::vector<float> noise(count);
    device_noise.download(model.stream, noise.data());
    EXPECT_EQ(process.all(10, n, noise.data(), nullptr).numbers, drawn) << sampler;
    noise[5] += 1.0f;
    EXPECT_NE(process.all(10, n, noise.data(), nullptr).numbers, drawn) << sampler;
  }
}

TEST(ReverseProcess, BytesAreThoseOfTheNumbers) {
  Model model;
  const int n = 5;
  ReverseSettings settings = settings_of(2);
  settings.delivered = {.numbers = true, .bytes = true};
  const DrawnImages both =
      ReverseProcess(model.network, table_of("ddim"), model.weights.data(), settings).all(3, n, nullptr, nullptr);
  settings.delivered = {.numbers = false, .bytes = true};
  const DrawnImages bytes =
      ReverseProcess(model.network, table_of("ddim"), model.weights.data(), settings).all(3, n, nullptr, nullptr);
  EXPECT_TRUE(bytes.numbers.empty());
  EXPECT_EQ(bytes.bytes, both.bytes);
  ASSERT_EQ(both.bytes.size(), both.numbers.size());
  for (size_t i = 0; i < both.bytes.size(); ++i) {
    const float unit = std::min(std::max(both.numbers[i] / 2 + 0.5f, 0.0f), 1.0f);
    ASSERT_EQ(both.bytes[i], static_cast<uint8_t>(std::nearbyint(255.0f * unit))) << i;
  }
}

// Each row from the state before it: the network once by predict(), the update in fp64 with the noise of the counter.
// predict() gives the very bits of the network in the loop, so what is left is the update's own rounding: 16u of its
// terms (as in the kernel's test), and the noise's: fast_log and fast_sincos are right to a few 1e-6 of its size.
class ReverseStepByStep : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(ReverseStepByStep, MatchesFp64) {
  const auto [sampler, set] = GetParam();
  Model model(R"({"num_class_embeds": 3})");
  const int n = 3;
  const int64_t size = model.network.image.size(), first = 20;
  const ReverseTable table = table_of(sampler, *set ? std::vector<std::string>{set} : std::vector<std::string>{});
  ReverseProcess process(model.network, table, model.weights.data(), settings_of(n));
  const int32_t labels[n] = {2, 0, 1};
  const std::vector<float> float_labels = {2, 0, 1};
  std::vector<std::vector<float>> states;
  size_t begun = 0;
  const auto before = [&](int row) {
    ++begun;
    EXPECT_EQ(row, static_cast<int>(states.size()));
    if (row > 0) {
      EXPECT_EQ(process.state(), states.back()) << "before row " << row;
    }
  };
  const auto after = [&](int row) {
    EXPECT_EQ(row, static_cast<int>(states.size()));
    states.push_back(process.state());
  };
  const std::vector<float> out = process.all(first, n, nullptr, labels, {.before = before, .after = after}).numbers;
  ASSERT_EQ(states.size(), table.rows.size());
  EXPECT_EQ(begun, table.rows.size());
  EXPECT_EQ(states.back(), out);

  DeviceBuffer<float> device_noise(n * size, "noise");
  SampleCounter counter;
  counter.seed = kSeed;
  counter.first = first;
  fill_normal(model.stream, device_noise.data(), counter, purpose_word(Purpose::InitialNoise), n, size);
  std::vector<float> x(n * size);
  device_noise.download(model.stream, x.data());
  const std::vector<double> initial =
      ref::normals(kSeed, 0, static_cast<uint32_t>(first), purpose_word(Purpose::InitialNoise), n, size);
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_NEAR(x[i], initial[i], 1e-5);
    x[i] *= static_cast<float>(table.start_scale);
  }

  // Registers are followed in float: what the kernel kept is within the bound of what is kept here.
  std::vector<std::vector<float>> registers(table.registers, std::vector<float>(x.size()));
  float input_scale = static_cast<float>(table.first_input_scale);
  bool noisy = false;
  for (size_t number = 0; number < table.rows.size(); ++number) {
    const ReverseRow& row = table.rows[number];
    std::vector<float> input = x;
    for (float& value : input) value *= input_scale;
    input_scale = row.next_input_scale;
    const std::vector<float> pred = predict(model.network, model.weights.data(), DType::F32, n, input,
                                            std::vector<float>(n, row.timestep), float_labels);
    const std::vector<double> z = ref::normals(kSeed, static_cast<uint32_t>(row.draw), static_cast<uint32_t>(first),
                                               purpose_word(Purpose::ReverseNoise), n, size);
    noisy = noisy || row.draw >= 0;
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      ref::RowInput in;
      in.x = x[i], in.pred = pred[i], in.z = z[i];
      for (int r = 0; r < table.registers; ++r) in.registers[r] = registers[r][i];
      const ref::RowOutput want = ref::reverse_element(row, in);
      for (int w = 0; w < row.writes; ++w) {
        if (row.to[w] != kState) {
          registers[row.to[w]][i] = static_cast<float>(want.to[w]);
          continue;
        }
        const double allowed =
            16 * 0x1p-24 * want.magnitude[w] + 5e-6 * std::fabs(static_cast<double>(row.weight[w][kNoise]));
        worst = std::max(worst, std::fabs(states[number][i] - want.to[w]) / allowed);
      }
    }
    EXPECT_LE(worst, 1) << sampler << " row " << number << ", in units of what is allowed";
    x = states[number];
  }
  EXPECT_EQ(noisy,
            std::string(sampler) == "ddpm" || std::string(sampler) == "euler-ancestral" || std::string(set) == "eta=1");
}

// A sampler is a table, and to a sanitizer one is as another.
std::vector<std::pair<const char*, const char*>> stepped() {
  if (kSanitized) return {{"ddim", "eta=1"}};
  return {{"ddpm", ""}, {"ddim", ""}, {"ddim", "eta=1"},          {"euler-ancestral", ""},
          {"heun", ""}, {"lms", ""},  {"deis", "solver_order=3"}, {"dpm++2m", ""}};
}
INSTANTIATE_TEST_SUITE_P(Samplers, ReverseStepByStep, ::testing::ValuesIn(stepped()));

TEST(ReverseProcess, LearnedVarianceNeedsItsOutputs) {
  Model model(R"({"out_channels": 6})");
  SchedulerConfig config;
  config.variance_type = VarianceType::LearnedRange;
  const ReverseTable learned = tiny_table("ddpm", kSteps, {}, config);
  ReverseProcess process(model.network, learned, model.weights.data(), settings_of(1));
  for (float x : process.all(0, 1, nullptr, nullptr).numbers) ASSERT_TRUE(std::isfinite(x));
  // A row without it passes the second half over.
  ReverseProcess deterministic(model.network, table_of("ddim"), model.weights.data(), settings_of(1));
  for (float x : deterministic.all(0, 1, nullptr, nullptr).numbers) ASSERT_TRUE(std::isfinite(x));
  Model plain;
  EXPECT_THROW(ReverseProcess(plain.network, learned, plain.weights.data(), settings_of(1)), UserError);
  Model odd(R"({"out_channels": 4})");
  EXPECT_THROW(ReverseProcess(odd.network, table_of("ddpm"), odd.weights.data(), settings_of(1)), UserError);
}

// A row of real numbers that is added to the time's is what a table of classes has at the class, in batches that are
// filled up too.
TEST(ReverseProcess, IdentityLabelsAreRowsOfATable) {
  Model classes(R"({"num_class_embeds": 3})");
  const Network rows = tiny_network(R"({"class_embed_type": "identity"})");
  const ParameterLayout layout = parameters_of(classes.network), own = parameters_of(rows);
  const std::vector<float> all = busy_weights(layout, 9);
  std::vector<float> some(own.arena_floats()), values;
  for (const Parameter& p : own.all())
    std::copy_n(all.begin() + layout.find(p.name).offset, p.count(), some.begin() + p.offset);
  const std::vector<int32_t> labels{2, 0, 1};
  const int64_t table = layout.find("class_embedding.weight").offset, width = rows.label_width;
  for (const int32_t label : labels)
    values.insert(values.end(), all.begin() + table + label * width, all.begin() + table + (label + 1) * width);
  DeviceBuffer<float> weights(some.size(), "weights");
  weights.upload(classes.stream, some.data());
  ReverseProcess of_classes(classes.network, table_of("ddim"), classes.weights.data(), settings_of(2)),
      of_rows(rows, table_of("ddim"), weights.data(), settings_of(2));
  const std::vector<float> want = of_classes.all(0, 3, nullptr, labels.data()).numbers;
  EXPECT_EQ(of_rows.all(0, 3, nullptr, LabelRows(values.data())).numbers, want);
  std::reverse(values.begin(), values.end());
  EXPECT_NE(of_rows.all(0, 3, nullptr, LabelRows(values.data())).numbers, want);
}

// Thresholded images: whatever a network says, none leaves [-1, 1] by more than the last step's rounding, and image i
// is a function of (seed, i) alone.
TEST(ReverseProcess, ThresholdsByTheImagesOwnQuantile) {
  Model model;
  SchedulerConfig config;
  config.thresholding = true;
  config.dynamic_thresholding_ratio = 0.9;
  config.sample_max_value = 3;
  const ReverseTable table = sampling_table(sampler_named("ddim"), NoiseSchedule(config), {.steps = 5});
  ReverseProcess process(model.network, table, model.weights.data(), settings_of(2));
  const std::vector<float> all = process.all(0, 3, nullptr, nullptr).numbers;
  for (const float x : all) EXPECT_LE(std::fabs(x), 1);
  const std::vector<float> last = process.all(2, 1, nullptr, nullptr).numbers;
  EXPECT_EQ(last, std::vector<float>(all.end() - static_cast<std::ptrdiff_t>(last.size()), all.end()));
  const std::vector<float> clipped =
      ReverseProcess(model.network, table_of("ddim"), model.weights.data(), settings_of(2))
          .all(2, 1, nullptr, nullptr)
          .numbers;
  EXPECT_NE(last, clipped);
}

// A weight that overflows: the error says which image, and where along the way.
TEST(ReverseProcess, ANumberThatIsNotFiniteIsTracedToItsRow) {
  Model model;
  ReverseTable table = table_of("ddim");
  table.rows[1].weight[0][kX0] = 3e38f;
  table.rows[1].weight[0][kEps] = 3e38f;
  ReverseProcess process(model.network, table, model.weights.data(), settings_of(2));
  std::string said;
  try {
    process.all(6, 3, nullptr, nullptr);
  } catch (const Error& error) {
    said = error.what();
  }
  EXPECT_NE(said.find("image 6 holds a value that is not finite after step 2 of 3"), std::string::npos) << said;
}

TEST(ReverseProcess, Bf16StaysNearFp32) {
  if (!device_has_bf16()) GTEST_SKIP() << "this device has no bf16 products";
  Model model;
  ReverseSettings settings = settings_of(2);
  const auto draw = [&] {
    return ReverseProcess(model.network, table_of("ddim"), model.weights.data(), settings)
        .all(0, 2, nullptr, nullptr)
        .numbers;
  };
  const std::vector<float> fp32 = draw();
  settings.compute = DType::BF16;
  const std::vector<float> bf16 = draw();
  double squares = 0;
  for (size_t i = 0; i < fp32.size(); ++i) squares += std::pow(fp32[i] - bf16[i], 2) / static_cast<double>(fp32.size());
  EXPECT_LT(std::sqrt(squares), 0.1);
  EXPECT_NE(fp32, bf16);
}

}  // namespace
}  // namespace ito::test
