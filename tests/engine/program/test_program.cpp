// SPDX-License-Identifier: Apache-2.0
// What the program derives from a list of ops: writes of gradients, what is left out, the memory it takes.
#include "engine/program/program.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/ops/ops.h"
#include "tests/engine/program/toy_ops.h"

namespace ito::test {
namespace {

constexpr int kRow = 4;
constexpr Value kX{0};  // the first value of every program here
using Numbers = std::vector<float>;

class ProgramTest : public ::testing::Test {
 protected:
  // weights: the front of the arena, the rest is zero.
  void bind(Program& program, const Numbers& weights = {}) {
    Numbers arena(std::max<int64_t>(program.layout().arena_floats(), 1), 0.0f);
    std::copy(weights.begin(), weights.end(), arena.begin());
    weights_ = {arena.size(), "weights"};
    gradients_ = {arena.size(), "gradients"};
    weights_.upload(stream_, arena.data());
    program.bind(weights_.data(), program.options().mode == Mode::Training ? gradients_.data() : nullptr);
  }
  // Forward and backward on the first input, dout being all ones.
  void run(Program& program, const Numbers& x) {
    set(program.data(kX), x);
    program.forward(stream_);
    if (program.options().mode == Mode::Inference) return;
    set(program.gradient(program.output()), Numbers(x.size(), 1.0f));
    program.backward(stream_);
  }
  void set(DataRef to, const Numbers& values) {
    copy_to_device(stream_, to.data, values.data(), values.size() * sizeof(float));
  }
  Numbers get(ConstDataRef from, size_t count = kRow) {
    Numbers out(count);
    copy_to_host(stream_, out.data(), from.data, count * sizeof(float));
    return out;
  }
  Numbers parameter_gradient(const Program& program, const std::string& name) {
    return get(gradients_.data() + program.layout().find(name).offset);
  }

  Stream stream_;
  DeviceBuffer<float> weights_, gradients_;
  Journal journal_;
};

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST_F(ProgramTest, AValueUsedNTimesGetsOneSetAndTheRestAdd) {
  Program p({1, Mode::Training, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32);
  const Value h = toy(p, journal_, "h", {x}, {1.0f, {"w"}});
  const Value a = toy(p, journal_, "a", {h}, {2.0f});
  const Value b = toy(p, journal_, "b", {h}, {3.0f});
  const Value c = toy(p, journal_, "c", {h}, {5.0f});
  p.set_output(toy(p, journal_, "y", {a, b, c, h}));
  p.finish();
  bind(p);
  run(p, {1, 2, 3, 4});
  EXPECT_EQ(get(p.data(p.output())), (Numbers{11, 22, 33, 44}));
  // In backward order y, c, b, a, h: y reads h last and sets its gradient, the others add.
  ASSERT_EQ(journal_.size(), 5u);
  EXPECT_EQ(journal_[0].op, "y");
  EXPECT_EQ(journal_[0].inputs, std::vector<Asked>(4, Asked::Set));
  for (int i : {1, 2, 3}) EXPECT_EQ(journal_[i].inputs, std::vector<Asked>{Asked::Add}) << journal_[i].op;
  EXPECT_EQ(journal_[4].op, "h");
  EXPECT_EQ(journal_[4].inputs, std::vector<Asked>{Asked::Nothing}) << "x wants no gradient";
  EXPECT_EQ(parameter_gradient(p, "w"), Numbers(kRow, 11.0f));
}

// A sum gives both its inputs its own gradient: the first takes the memory over, where nothing is in it yet.
TEST_F(ProgramTest, ASumPassesItsGradientOn) {
  Program p({1, Mode::InputGradient, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32, true);
  const Value a = toy(p, journal_, "a", {x}, {2.0f});
  const Value b = toy(p, journal_, "b", {a}, {3.0f});
  const Value sum = add(p, "sum", b, a), doubled = add(p, "doubled", sum, sum), scaled = add(p, "scaled", a, sum, 0.5f);
  p.set_output(add(p, "y", toy(p, journal_, "z", {doubled, scaled}, {5.0f}), b));
  p.finish();
  bind(p);
  run(p, {1, 2, 3, 4});
  EXPECT_EQ(get(p.data(p.output())), (Numbers{111, 222, 333, 444}));
  EXPECT_EQ(get(p.gradient(x)), Numbers(kRow, 111));
  EXPECT_EQ(get(p.gradient(p.output())), Numbers(kRow, 1));
  EXPECT_NE(p.gradient(b).data, p.gradient(sum).data) << "b has something in it already";
  EXPECT_NE(p.gradient(a).data, p.gradient(scaled).data) << "it is halved";
}

TEST_F(ProgramTest, AGradientPassedOnTakesNoMemory) {
  const auto bytes = [&](bool passes) {
    Program p({1, Mode::InputGradient, DType::F32});
    Value h = p.input("x", 1, 1, 256, DType::F32, true);
    for (int i = 0; i < 4; ++i)
      h = add(p, join_text("s", i), h, toy(p, journal_, join_text("h", i), {h}), passes ? 1.0f : 0.5f);
    p.set_output(toy(p, journal_, "y", {h}));
    p.finish();
    return p.plan().bytes_of(BlockKind::Gradient);
  };
  EXPECT_EQ(bytes(false) - bytes(true), 4 * 1024u);
}

TEST_F(ProgramTest, OneOpMayReadAValueTwice) {
  Program p({1, Mode::InputGradient, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32, true);
  p.set_output(toy(p, journal_, "y", {x, x, x}, {2.0f}));
  p.finish();
  bind(p);
  run(p, {1, 2, 3, 4});
  EXPECT_EQ(journal_.at(0).inputs, (std::vector<Asked>{Asked::Set, Asked::Add, Asked::Add}));
  EXPECT_EQ(get(p.gradient(x)), Numbers(kRow, 6.0f));
}

TEST_F(ProgramTest, UnwantedGradientsAreDropped) {
  Program p({1, Mode::Training, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32);
  const Value before = toy(p, journal_, "before", {x});
  const Value frozen = toy(p, journal_, "frozen", {before}, {1.0f, {"f"}, false, true});
  const Value h = toy(p, journal_, "h", {frozen}, {1.0f, {"w"}});
  p.set_output(toy(p, journal_, "y", {h, before}));
  p.finish();
  bind(p);
  EXPECT_FALSE(p.wants_gradient(x));
  EXPECT_FALSE(p.wants_gradient(before));
  EXPECT_FALSE(p.wants_gradient(frozen));
  EXPECT_TRUE(p.wants_gradient(h));
  run(p, {1, 2, 3, 4});
  ASSERT_EQ(journal_.size(), 2u) << "the backwards of `before` and `frozen` have nothing to do";
  EXPECT_EQ(journal_[0].inputs, (std::vector<Asked>{Asked::Set, Asked::Nothing}));
  EXPECT_EQ(journal_[1].inputs, std::vector<Asked>{Asked::Nothing});
  EXPECT_EQ(journal_[1].parameters, std::vector<Asked>{Asked::Set});
  EXPECT_FALSE(p.gradient(before));
  for (const MemoryBlock& b : p.plan().blocks()) EXPECT_NE(b.name, "d before");
}

TEST_F(ProgramTest, InputGradientModeGivesOnlyTheInputs) {
  Program p({1, Mode::InputGradient, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32, true);
  const Value t = p.input("t", 1, 1, kRow, DType::F32);
  const Value side = toy(p, journal_, "side", {t}, {1.0f, {"side.w"}});
  const Value h = toy(p, journal_, "h", {x, side}, {3.0f, {"w"}});
  p.set_output(toy(p, journal_, "y", {h}, {2.0f}));
  p.finish();
  EXPECT_EQ(error_of([&] {
              float one = 0;
              p.bind(&one, &one);
            }),
            "gradients are for training mode only");
  bind(p);
  set(p.data(t), Numbers(kRow, 1.0f));
  run(p, {1, 2, 3, 4});
  ASSERT_EQ(journal_.size(), 2u);
  EXPECT_EQ(journal_[1].op, "h");
  EXPECT_EQ(journal_[1].inputs, (std::vector<Asked>{Asked::Set, Asked::Nothing}));
  EXPECT_EQ(journal_[1].parameters, std::vector<Asked>{Asked::Nothing});
  EXPECT_EQ(get(p.gradient(x)), Numbers(kRow, 6.0f));
  EXPECT_FALSE(p.gradient(t));
}

// Two ops' sums over images, added, would not be the one tree that passes and devices can share.
TEST_F(ProgramTest, TrainingASharedParameterIsRefused) {
  const auto shares = [&](Mode mode, bool frozen) {
    Program p({1, mode, DType::F32});
    const Value x = p.input("x", 1, 1, kRow, DType::F32, mode == Mode::InputGradient);
    const Value own = toy(p, journal_, "own", {x}, {1.0f, {"own.w"}});
    const Value a = toy(p, journal_, "a", {own}, {1.0f, {"w"}, false, frozen});
    p.set_output(toy(p, journal_, "b", {a}, {10.0f, {"w"}, false, frozen}));
    return error_of([&] { p.finish(); });
  };
  EXPECT_EQ(shares(Mode::Training, false),
            "a: shares w with another op; training a shared parameter is not implemented, give each op its own");
  EXPECT_EQ(shares(Mode::Training, true), "accepted");
  EXPECT_EQ(shares(Mode::Inference, false), "accepted");
  EXPECT_EQ(shares(Mode::InputGradient, false), "accepted");
}

TEST_F(ProgramTest, GradientsAreSetWhereTheyAreWanted) {
  Program p({1, Mode::Training, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32);
  p.set_output(toy(p, journal_, "y", {toy(p, journal_, "h", {x}, {1.0f, {"w"}})}, {3.0f}));
  p.finish();
  bind(p);
  run(p, {1, 2, 3, 4});
  run(p, {1, 2, 3, 4});
  EXPECT_EQ(parameter_gradient(p, "w"), Numbers(kRow, 3.0f)) << "the second backward replaces the first's";
  DeviceBuffer<float> other(weights_.count(), "another arena");
  other.zero(stream_);
  gradients_.zero(stream_);
  p.set_gradients(other.data());
  run(p, {1, 2, 3, 4});
  EXPECT_EQ(parameter_gradient(p, "w"), Numbers(kRow, 0.0f));
  EXPECT_EQ(get(other.data() + p.layout().find("w").offset), Numbers(kRow, 3.0f));
  EXPECT_NE(error_of([&] { p.set_gradients(nullptr); }), "accepted");
}

TEST_F(ProgramTest, AParameterDeclaredAgainMustHaveTheSameShape) {
  Program p({1, Mode::Training, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32), longer = p.input("longer", 1, 1, kRow + 1, DType::F32);
  toy(p, journal_, "a", {x}, {1.0f, {"w"}});
  EXPECT_EQ(error_of([&] {
              toy(p, journal_, "b", {longer}, {1.0f, {"w"}});
            }),
            "w: declared twice with different shapes");
}

TEST_F(ProgramTest, AnUnusedValueIsRefused) {
  Program p({1, Mode::Training, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32);
  const Value h = toy(p, journal_, "h", {x}, {1.0f, {"w"}});
  toy(p, journal_, "dangling", {h});
  p.set_output(toy(p, journal_, "y", {h}));
  EXPECT_EQ(error_of([&] { p.finish(); }), "dangling: dangling is not used, so it has no gradient");

  Program inference({1, Mode::Inference, DType::F32});
  const Value xi = inference.input("x", 1, 1, kRow, DType::F32);
  toy(inference, journal_, "dangling", {xi});
  inference.set_output(toy(inference, journal_, "y", {xi}));
  inference.finish();  // wasteful, not wrong

  Program unread({1, Mode::InputGradient, DType::F32});
  const Value used = unread.input("x", 1, 1, kRow, DType::F32, true);
  unread.input("z", 1, 1, kRow, DType::F32, true);
  unread.set_output(toy(unread, journal_, "y", {used}));
  EXPECT_EQ(error_of([&] { unread.finish(); }), "input z is not used, so it has no gradient");
}

TEST_F(ProgramTest, MistakesOfBuildingAreRefused) {
  Program p({1, Mode::Training, DType::F32});
  EXPECT_EQ(error_of([&] { p.finish(); }), "a program without an output");
  const Value x = p.input("x", 1, 1, kRow, DType::F32);
  EXPECT_EQ(error_of([&] { p.input("empty", 0, 1, 1, DType::F32); }), "empty: a tensor of 1 x 0 x 1 x 1");
  const Value y = toy(p, journal_, "y", {x}, {1.0f, {"w"}});
  p.set_output(y);
  p.finish();
  EXPECT_EQ(error_of([&] { p.forward(stream_); }), "a program that runs before bind");
  Program inference({1, Mode::Inference, DType::F32});
  inference.set_output(toy(inference, journal_, "y", {inference.input("x", 1, 1, kRow, DType::F32)}));
  inference.finish();
  EXPECT_EQ(error_of([&] { inference.backward(stream_); }), "backward of a program planned for inference");
}

TEST_F(ProgramTest, SecondaryOutputsHaveNoGradient) {
  Program p({1, Mode::Training, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32);
  const Value h = toy(p, journal_, "h", {x}, {1.0f, {"w"}, true});
  p.set_output(toy(p, journal_, "y", {h}));
  p.finish();
  bind(p);
  const Value statistics{h.id + 1};
  EXPECT_EQ(p.info(statistics).name, "h statistics");
  EXPECT_FALSE(p.wants_gradient(statistics));
  run(p, {1, 2, 3, 4});
  EXPECT_FALSE(p.gradient(statistics));
  const auto& blocks = p.plan().blocks();
  const auto block = std::find_if(blocks.begin(), blocks.end(), [](const auto& b) { return b.name == "h statistics"; });
  ASSERT_NE(block, blocks.end());
  EXPECT_EQ(block->last, 2 * 2 + 1 - 0) << "saved until the backward of op 0";
}

// The whole of a small network with real ops: what the device holds is the plan and the arenas, and no call makes it
// more.
TEST_F(ProgramTest, PeakMemoryEqualsThePlan) {
  for (Mode mode : {Mode::Inference, Mode::Training, Mode::InputGradient}) {
    Program p({2, mode, DType::F32});
    Value x = p.input("x", 8, 8, 4, DType::F32, mode == Mode::InputGradient);
    Conv2dOptions conv;
    conv.k = 16;
    GroupNormOptions norm;
    norm.groups = 4;
    Value h = conv2d(p, "conv", x, conv);
    for (int i = 0; i < 6; ++i) h = conv2d(p, join_text("conv", i), group_norm(p, join_text("norm", i), h, norm), conv);
    p.set_output(h);
    p.finish();
    EXPECT_GE(p.plan().bytes(), p.plan().lower_bound());

    const size_t before = device_bytes_in_use();
    device_reset_peak();
    const std::vector<float> initial = initial_weights(p.layout(), 1);
    DeviceBuffer<float> weights(initial.size(), "weights"), gradients;
    weights.upload(stream_, initial.data());
    if (mode == Mode::Training) gradients = {initial.size(), "gradients"};
    p.bind(weights.data(), gradients.data());
    p.pack(stream_);
    set(p.data(x), Numbers(2 * 8 * 8 * 4, 0.5f));
    p.forward(stream_);
    if (mode != Mode::Inference) {
      set(p.gradient(p.output()), Numbers(2 * 8 * 8 * 16, 1.0f));
      p.backward(stream_);
    }
    stream_.synchronize();
    const size_t arenas = weights.bytes() + gradients.bytes();
    EXPECT_EQ(device_peak_bytes() - before, p.plan().bytes() + arenas) << "mode " << static_cast<int>(mode);
    EXPECT_EQ(device_bytes_in_use() - before, p.plan().bytes() + arenas);
  }
}

TEST_F(ProgramTest, InferenceTakesTheMemoryOfTwoNeighbours) {
  Program p({1, Mode::Inference, DType::F32});
  Value h = p.input("x", 1, 1, 256, DType::F32);
  for (int i = 0; i < 20; ++i) h = toy(p, journal_, join_text("h", i), {h});
  p.set_output(h);
  p.finish();
  EXPECT_EQ(p.plan().bytes(), (2 + 2) * 1024u) << "input, output, and two of the chain";
}

TEST_F(ProgramTest, SavedValuesReachTheBackward) {
  Program p({1, Mode::InputGradient, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32, true);
  const Value h = toy(p, journal_, "h", {x}, {3.0f});
  const Value s = square(p, "square", h, true);
  p.set_output(toy(p, journal_, "y", {s}));
  p.finish();
  bind(p);
  run(p, {1, 2, 3, 4});
  EXPECT_EQ(get(p.data(p.output())), (Numbers{9, 36, 81, 144}));
  EXPECT_EQ(get(p.gradient(x)), (Numbers{18, 36, 54, 72}));
}

// An op that reads in its backward what it did not declare as saved computes with memory that is free by then.
TEST_F(ProgramTest, ReadingAnExpiredValueGivesNanInSim) {
  if (std::string(device_name()) != "sim") GTEST_SKIP() << "only sim poisons memory";
  Program p({1, Mode::InputGradient, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32, true);
  // Two values that live through the forward, so that h stands where no gradient will.
  const Value t = p.input("t", 1, 1, kRow, DType::F32);
  const Value a = toy(p, journal_, "a", {t}), b = toy(p, journal_, "b", {t});
  const Value h = toy(p, journal_, "h", {x}, {3.0f});
  const Value s = square(p, "square", h, false);
  p.set_output(toy(p, journal_, "y", {s, a, b}));
  p.finish();
  bind(p);
  set(p.data(t), Numbers(kRow, 0.0f));
  run(p, {1, 2, 3, 4});
  EXPECT_EQ(get(p.data(p.output())), (Numbers{9, 36, 81, 144})) << "the forward is right";
  for (float v : get(p.gradient(x))) EXPECT_TRUE(std::isnan(v)) << v;
}

// The same in the forward: a value is gone after its last declared reader.
TEST_F(ProgramTest, AForwardReadingAnExpiredValueGivesNanInSim) {
  if (std::string(device_name()) != "sim") GTEST_SKIP() << "only sim poisons memory";
  class Peek : public Op {
   public:
    Peek(Program& program, Value expired) : program_(program), expired_(expired) {}
    const char* kind() const override { return "peek"; }
    void forward(Stream& stream, const OpData& data) override {
      accumulate(stream, data.out(0), Write::Set, program_.data(expired_), 1.0f, kRow);
    }
    void backward(Stream&, const OpData&) override {}

   private:
    Program& program_;
    Value expired_;
  };
  Program p({1, Mode::Inference, DType::F32});
  const Value x = p.input("x", 1, 1, kRow, DType::F32);
  const Value a = toy(p, journal_, "a", {x});
  const Value b = toy(p, journal_, "b", {a});
  const Value y = p.add(std::make_unique<Peek>(p, a), {"y", {b}, p.info(b)});
  p.set_output(y);
  p.finish();
  bind(p);
  run(p, {1, 2, 3, 4});
  for (float v : get(p.data(y))) EXPECT_TRUE(std::isnan(v)) << v;
}

}  // namespace
}  // namespace ito::test
