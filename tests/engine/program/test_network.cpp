// SPDX-License-Identifier: Apache-2.0
// A network is a value: it can be wrapped, appended twice, and asked for its parameters without a layer being made.
// Wrapped is guidance in small: the batch beside itself with other labels, one evaluation of 2N, and the two answers
// folded into one.
#include "engine/program/network.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/ops/ops.h"
#include "tests/engine/program/batch_ops.h"
#include "tests/engine/program/toy_ops.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

constexpr int kImages = 3;
constexpr float kFirst = -1.5f, kSecond = 2.5f;
using Numbers = std::vector<float>;

Network inner_network() {
  return tiny_network(R"({"num_class_embeds": 4})");
}

Network wrapped(const Network& inner) {
  Network network = inner;
  network.append = [inner](Program& p, const NetworkInputs& inputs) {
    const NetworkInputs both{repeat(p, "samples", inputs.sample),
                             repeat(p, "timesteps", inputs.timestep),
                             repeat(p, "labels beside zeros", inputs.labels, true),
                             {}};
    return fold(p, "answer", inner.append(p, both), kFirst, kSecond);
  };
  return network;
}

// A network planned for n images, with everything it needs to run.
class Planned {
 public:
  Planned(const Network& network, int n, Mode mode)
      : program({n, mode, DType::F32}), inputs(plan_network(program, network)) {
    const Numbers host = busy_weights(program.layout(), 5);
    weights_ = {host.size(), "weights"};
    weights_.upload(stream, host.data());
    if (mode == Mode::Training) gradients_ = {host.size(), "gradients"};
    if (mode == Mode::Training) gradients_.zero(stream);
    program.bind(weights_.data(), gradients_.data());
    program.pack(stream);
  }
  Numbers evaluate(const Numbers& sample, const Numbers& timestep, const std::vector<int32_t>& labels) {
    put(program.data(inputs.sample), sample);
    put(program.data(inputs.timestep), timestep);
    copy_to_device(stream, program.data(inputs.labels).as<int32_t>(), labels.data(), labels.size() * sizeof(int32_t));
    program.forward(stream);
    return get(program.data(program.output()), program.info(program.output()).count());
  }
  void backward(const Numbers& cotangent) {
    put(program.gradient(program.output()), cotangent);
    program.backward(stream);
  }
  Numbers input_gradient() { return get(program.gradient(inputs.sample), program.info(inputs.sample).count()); }
  Numbers parameter_gradients() { return get(gradients_.data(), static_cast<int64_t>(gradients_.count())); }

  Stream stream;
  Program program;
  NetworkInputs inputs;

 private:
  void put(DataRef to, const Numbers& values) {
    copy_to_device(stream, to.as<float>(), values.data(), values.size() * sizeof(float));
  }
  Numbers get(ConstDataRef from, int64_t count) {
    Numbers values(count);
    copy_to_host(stream, values.data(), from.as<float>(), values.size() * sizeof(float));
    return values;
  }
  DeviceBuffer<float> weights_, gradients_;
};

const Numbers kTimesteps{3, 500, 998};
const std::vector<int32_t> kLabels{2, 1, 3}, kZeros{0, 0, 0};

Numbers sample() {
  return draws(kImages * inner_network().image.size(), 8);
}
Numbers cotangent() {
  return draws(kImages * inner_network().image.size(), 9);
}
Numbers scaled(Numbers values, float factor) {
  for (float& v : values) v *= factor;
  return values;
}
template <class T>
std::vector<T> joined(std::vector<T> a, const std::vector<T>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class NetworkTest : public ::testing::Test {
 protected:
  void SetUp() override { set_device_threads(1); }  // the network is too small for more
  void TearDown() override { set_device_threads(0); }
};

TEST_F(NetworkTest, AWrappedOneAnswersWhatItsPartsDo) {
  Planned whole(wrapped(inner_network()), kImages, Mode::Inference), part(inner_network(), kImages, Mode::Inference);
  EXPECT_EQ(whole.program.info(whole.program.output()).n, kImages);
  const Numbers first = part.evaluate(sample(), kTimesteps, kLabels),
                second = part.evaluate(sample(), kTimesteps, kZeros);
  const Numbers answer = whole.evaluate(sample(), kTimesteps, kLabels);
  ASSERT_EQ(answer.size(), first.size());
  EXPECT_NE(first, second) << "the labels must matter";
  // A product, and a product added in one rounding or two: an image's bits do not depend on the batch it is in.
  for (size_t i = 0; i < answer.size(); ++i) {
    const float product = kFirst * first[i];
    ASSERT_TRUE(answer[i] == std::fmaf(kSecond, second[i], product) || answer[i] == product + kSecond * second[i])
        << i << ": " << answer[i];
  }
}

TEST_F(NetworkTest, TheGradientThroughAWrappedOneIsTheSumOfItsParts) {
  Planned whole(wrapped(inner_network()), kImages, Mode::InputGradient),
      part(inner_network(), kImages, Mode::InputGradient);
  whole.evaluate(sample(), kTimesteps, kLabels);
  whole.backward(cotangent());
  const auto of_part = [&](const std::vector<int32_t>& labels, float factor) {
    part.evaluate(sample(), kTimesteps, labels);
    part.backward(scaled(cotangent(), factor));
    return part.input_gradient();
  };
  const Numbers first = of_part(kLabels, kFirst), second = of_part(kZeros, kSecond);
  const Numbers found = whole.input_gradient();
  for (size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], first[i] + second[i]) << i;
}

TEST_F(NetworkTest, AWrappedOneTrainsItsPartOnTheWholeOfTheRepeatedBatch) {
  Planned whole(wrapped(inner_network()), kImages, Mode::Training), part(inner_network(), 2 * kImages, Mode::Training);
  whole.evaluate(sample(), kTimesteps, kLabels);
  whole.backward(cotangent());
  part.evaluate(joined(sample(), sample()), joined(kTimesteps, kTimesteps), joined(kLabels, kZeros));
  part.backward(joined(scaled(cotangent(), kFirst), scaled(cotangent(), kSecond)));
  EXPECT_EQ(whole.program.layout(), part.program.layout());
  EXPECT_EQ(whole.parameter_gradients(), part.parameter_gradients());
}

TEST_F(NetworkTest, TheMemoryOfAWrappedOneIsPlannedForTheRepeatedBatch) {
  Program program({kImages, Mode::Training, DType::F32});
  plan_network(program, wrapped(inner_network()));
  const auto bytes_of = [&](const char* name) {
    for (const MemoryBlock& block : program.plan().blocks())
      if (block.name == name) return block.bytes;
    return size_t{0};
  };
  const size_t image = sizeof(float) * kTinySize * kTinySize;
  EXPECT_EQ(bytes_of("sample"), kImages * image * 3);
  EXPECT_EQ(bytes_of("conv_in"), 2 * kImages * image * 8);
  EXPECT_EQ(bytes_of("d conv_in"), 2 * kImages * image * 8);
  EXPECT_EQ(bytes_of("answer"), kImages * image * 3);
}

TEST_F(NetworkTest, AppendedTwiceItHasItsParametersOnce) {
  const Network inner = inner_network();
  Network twice = inner;
  twice.append = [inner](Program& p, const NetworkInputs& inputs) {
    return add(p, "sum", inner.append(p, inputs), inner.append(p, inputs));
  };
  EXPECT_EQ(parameters_of(twice), parameters_of(inner));
  Planned both(twice, kImages, Mode::Inference), one(inner, kImages, Mode::Inference);
  EXPECT_EQ(both.evaluate(sample(), kTimesteps, kLabels), scaled(one.evaluate(sample(), kTimesteps, kLabels), 2.0f));
}

// An op that counts how often it is made ready to run.
class CountedOp : public ToyOp {
 public:
  CountedOp(int64_t count, Journal* journal, int* prepared, WantedGradients* wanted = nullptr)
      : ToyOp(count, 1.0f, journal), prepared_(prepared), wanted_(wanted) {}
  void prepare(const WantedGradients& wanted) override {
    ++*prepared_;
    if (wanted_) *wanted_ = wanted;
  }

 private:
  int* prepared_;
  WantedGradients* wanted_;
};

// What nobody asks for no library is tried for.
TEST_F(NetworkTest, AnOpIsToldWhichGradientsAreWanted) {
  for (const Mode mode : {Mode::Inference, Mode::Training, Mode::InputGradient})
    for (const bool trainable : {true, false}) {
      Journal journal;
      int prepared = 0;
      WantedGradients first, second;
      Program p({1, mode, DType::F32});
      const auto add_op = [&](const std::string& name, Value in, WantedGradients* wanted) {
        OpSpec spec{name, {in}, p.info(in)};
        spec.parameters = {{name + ".w", ParameterKind::Vector, {4}, Initial::Zeros}};
        spec.parameters[0].trainable = trainable;
        return p.add(std::make_unique<CountedOp>(4, &journal, &prepared, wanted), std::move(spec));
      };
      const Value x = p.input("x", 2, 2, 1, DType::F32, mode == Mode::InputGradient);
      p.set_output(add_op("second", add_op("first", x, &first), &second));
      p.finish();
      const bool trained = mode == Mode::Training && trainable, pulled_back = mode == Mode::InputGradient;
      EXPECT_EQ(first.parameters, trained);
      EXPECT_EQ(second.parameters, trained);
      EXPECT_EQ(first.inputs, std::vector<bool>{pulled_back});
      EXPECT_EQ(second.inputs, std::vector<bool>{trained || pulled_back});
    }
}

TEST_F(NetworkTest, DeclaringMakesNoLayer) {
  Journal journal;
  int prepared = 0;
  Network network;
  network.image = {2, 2, 1};
  network.out_channels = 1;
  network.append = [&](Program& p, const NetworkInputs& inputs) {
    OpSpec spec{"counted", {inputs.sample}, p.info(inputs.sample)};
    spec.parameters = {{"w", ParameterKind::Vector, {4}, Initial::Zeros}};
    return p.add(std::make_unique<CountedOp>(4, &journal, &prepared), std::move(spec));
  };
  device_reset_peak();
  const size_t before = device_peak_bytes();
  EXPECT_EQ(parameters_of(network).count(), 4);
  EXPECT_EQ(prepared, 0);
  EXPECT_EQ(device_peak_bytes(), before);
  Program program({1, Mode::Inference, DType::F32});
  plan_network(program, network);
  EXPECT_EQ(prepared, 1);
}

// The library's plans come with finish(), not with the declaration.
TEST_F(NetworkTest, AConvolutionIsMadeWithThePlan) {
  Program program({1, Mode::Inference, DType::F32});
  Conv2dOptions options;
  options.k = 4;
  program.set_output(conv2d(program, "conv", program.input("x", 4, 4, 3, DType::F32), options));
  EXPECT_EQ(program.declared().count(), 4 * 3 * 9 + 4);
  EXPECT_EQ(program.ops().front()->describe(), "");
  program.finish();
  EXPECT_NE(program.ops().front()->describe(), "");
}

}  // namespace
}  // namespace ito::test
