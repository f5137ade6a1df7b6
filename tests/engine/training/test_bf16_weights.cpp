// SPDX-License-Identifier: Apache-2.0
// The weights' bf16 copy that ops may read: the optimiser keeps it in training, a program makes its own elsewhere, and
// who asks for none pays for none.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/training/trainer.h"
#include "kernels/nn/pointwise.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

constexpr ImageShape kImage{2, 4, 3};
constexpr int kRow = 24;

// y[n] = x[n] + p rounded to bf16; p is read from the shared copy, or rounded here.
class ShiftOp : public Op {
 public:
  ShiftOp(int n, bool shares) : n_(n), shares_(shares) {}
  const char* kind() const override { return "shift"; }
  bool reads_bf16_weights() const override { return shares_; }
  size_t forward_workspace() const override { return 2 * aligned(kRow * sizeof(float)); }
  size_t backward_workspace() const override { return aligned(kRow * n_ * sizeof(float)); }

  void forward(Stream& stream, const OpData& data) override {
    auto* wide = static_cast<float*>(data.workspace());
    auto* own = reinterpret_cast<bf16*>(wide + aligned(kRow * sizeof(float)) / sizeof(float));
    if (!shares_) convert(stream, own, data.parameter(0), kRow);
    EXPECT_EQ(data.bf16_parameter(0) != nullptr, shares_);
    convert(stream, wide, shares_ ? data.bf16_parameter(0) : own, kRow);
    add_epilogue(stream, data.out(0), data.in(0), {wide, {}, 1.0f}, n_, 1, kRow);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (float* dp = data.dparameter(0))
      sum_rows(stream, dp, data.dout(0), static_cast<float*>(data.workspace()), n_, 1, kRow);
    if (DataRef dx = data.din(0)) accumulate(stream, dx, data.din_write(0), data.dout(0), 1.0f, kRow * n_);
  }

 private:
  int n_;
  bool shares_;
};

// shares: the op reads the copy. A parameter before it in the arena, which it has no use for, moves its place.
Network shift_network(bool shares) {
  Network network;
  network.image = kImage;
  network.out_channels = kImage.channels;
  network.append = [shares](Program& program, const NetworkInputs& inputs) {
    OpSpec spec{"shift", {inputs.sample}, program.info(inputs.sample)};
    spec.parameters = {{"shift.weight", ParameterKind::Vector, {kRow}, Initial::Uniform, 1}};
    const Value shifted = program.add(std::make_unique<ShiftOp>(spec.result.n, shares), std::move(spec));
    OpSpec first{"again", {shifted}, program.info(shifted)};
    first.parameters = {{"again.weight", ParameterKind::Vector, {kRow}, Initial::Uniform, 1}};
    return program.add(std::make_unique<ShiftOp>(first.result.n, shares), std::move(first));
  };
  return network;
}

TrainSettings settings_of_test(int micro_batch) {
  TrainSettings s;
  s.batch = 2 * images_per_chunk() + 1;
  s.micro_batch = micro_batch;
  s.learning_rate = {2e-2, learning_rate_of("constant", ""), 0, 10};
  return s;
}

std::vector<float> trained(bool shares, int micro_batch, size_t* bytes) {
  SchedulerConfig schedule;
  schedule.num_train_timesteps = 10;
  Trainer trainer(shift_network(shares), NoiseSchedule(schedule), settings_of_test(micro_batch));
  trainer.set_weights(busy_weights(trainer.layout(), 5));
  const std::vector<float> images = draws(settings_of_test(0).batch * kRow, 3);
  for (int step = 0; step < 4; ++step) trainer.step(images.data(), nullptr);
  EXPECT_EQ(trainer.state().applied, 4);
  *bytes = trainer.planned_bytes();
  return trainer.download(Trainer::Arena::Weights);
}

// A copy that is a step old, or of other weights, would give other gradients from the second step on.
TEST(Bf16Weights, TheOptimiserKeepsTheCopy) {
  for (const int micro : {0, images_per_chunk()}) {  // one pass; three, the last smaller
    size_t with = 0, without = 0;
    EXPECT_EQ(trained(true, micro, &with), trained(false, micro, &without)) << micro;
    EXPECT_EQ(with - without, 64 * sizeof(bf16)) << "two tensors of 24, each padded to 32";
  }
}

TEST(Bf16Weights, AProgramAloneMakesItsOwn) {
  Stream stream;
  std::vector<std::vector<float>> answers;
  std::vector<size_t> blocks;
  const std::vector<float> x = draws(3 * kRow, 4);
  for (const bool shares : {true, false}) {
    Program program({.n = 3});
    const NetworkInputs inputs = plan_network(program, shift_network(shares));
    EXPECT_EQ(program.reads_bf16_weights(), shares);
    DeviceBuffer<float> weights(program.layout().arena_floats(), "weights");
    program.bind(weights.data(), nullptr);
    for (const uint64_t seed : {6, 7}) {  // packed anew, the copy is of the new weights
      weights.upload(stream, busy_weights(program.layout(), seed).data());
      program.pack(stream);
      copy_to_device(stream, program.data(inputs.sample).data, x.data(), x.size() * sizeof(float));
      program.forward(stream);
      std::vector<float> y(x.size());
      copy_to_host(stream, y.data(), program.data(program.output()).data, y.size() * sizeof(float));
      answers.push_back(y);
    }
    blocks.push_back(program.plan().bytes_of(BlockKind::PackedWeights));
  }
  EXPECT_EQ(answers[0], answers[2]);
  EXPECT_EQ(answers[1], answers[3]);
  EXPECT_NE(answers[0], answers[1]);
  EXPECT_EQ(blocks, (std::vector<size_t>{aligned(64 * sizeof(bf16)), 0}));
}

}  // namespace
}  // namespace ito::test
