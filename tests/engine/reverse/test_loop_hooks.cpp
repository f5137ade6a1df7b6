// SPDX-License-Identifier: Apache-2.0
// Hooks around the rows: each is called where it is said to be, a captured loop does what an eager one does, and the
// network sees what a hook has made of the state.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/reverse/reverse_process.h"
#include "kernels/nn/pointwise.h"
#include "tests/engine/reverse/model_with_weights.h"
#include "tests/ref/reverse_row.h"

namespace ito::test {
namespace {

constexpr int kSteps = 3, kImages = 2;

int64_t count_of(const Model& model) {
  return kImages * model.network.image.size();
}

struct Drawn {
  std::vector<float> images;
  std::vector<std::vector<float>> states;  // after each row
};

// Captured as one loop, captured by rows, and eager: all three must give the same bits.
Drawn draw(Model& model, const ReverseTable& table, LoopHooks* hooks) {
  ReverseSettings settings;
  settings.batch = kImages;
  settings.seed = 5;
  Drawn drawn;
  for (const bool capture : {false, true}) {
    settings.capture = capture;
    ReverseProcess process(model.network, table, model.weights.data(), settings, hooks);
    const std::vector<float> whole = process.all(0, kImages, nullptr, nullptr).numbers;
    std::vector<std::vector<float>> states;
    const std::vector<float> by_rows =
        process.all(0, kImages, nullptr, nullptr, {.after = [&](int) { states.push_back(process.state()); }}).numbers;
    EXPECT_EQ(by_rows, whole) << "captured " << capture;
    if (capture) {
      EXPECT_EQ(whole, drawn.images) << "captured and eager";
      EXPECT_EQ(states, drawn.states) << "captured and eager";
    }
    drawn = {whole, states};
  }
  return drawn;
}

// Rows that read a register no row writes: a hook fills it.
ReverseTable table_with_register() {
  ReverseTable table = tiny_table("ddim", kSteps);
  table.registers = 1;
  for (ReverseRow& row : table.rows) {
    row.reads = 1;
    row.weight[0][kRegister0] = 0.5f;
  }
  return table;
}

struct FillRegister : LoopHooks {
  void after_estimate(Stream& stream, const LoopState& state) override {
    affine(stream, state.registers, state.x, 0.25f, 0.125f, count);  // of the state before the update
  }
  int64_t count = 0;
};

TEST(LoopHooks, AfterTheEstimateAHookMayFillARegister) {
  Model model;
  FillRegister hook;
  hook.count = count_of(model);
  const Drawn with = draw(model, table_with_register(), &hook);
  // The register is a quarter of the old state and an eighth: its term, half of that, may stand with x instead.
  ReverseTable folded = tiny_table("ddim", kSteps);
  for (ReverseRow& row : folded.rows) row.weight[0][kX] += 0.125f;
  const Drawn without = draw(model, folded, nullptr);
  for (size_t i = 0; i < with.images.size(); ++i)
    ASSERT_NEAR(with.states[0][i], without.states[0][i] + 0.0625f, 1e-5f) << i;
  EXPECT_NE(with.images, without.images);
}

struct HalveTheStart : LoopHooks {
  void start(Stream& stream, const LoopState& state) override { affine(stream, state.x, state.x, 0.5f, 0, count); }
  int64_t count = 0;
};

TEST(LoopHooks, AtTheStartAHookMayEditTheState) {
  Model model;
  HalveTheStart hook;
  hook.count = count_of(model);
  const Drawn halved = draw(model, tiny_table("heun", kSteps), &hook);
  // The network's first copy is made after the hook: the same as a run that starts at half the scale.
  ReverseTable half = tiny_table("heun", kSteps);
  half.start_scale /= 2;
  EXPECT_EQ(draw(model, half, nullptr).images, halved.images);
}

struct Negate : LoopHooks {
  bool after_update(Stream& stream, const LoopState& state) override {
    affine(stream, state.x, state.x, -1, 0, count);
    return says;
  }
  int64_t count = 0;
  bool says = true;
};

TEST(LoopHooks, AfterTheUpdateAHookMayEditTheState) {
  Model model;
  Negate hook;
  hook.count = count_of(model);
  for (const char* sampler : {"ddim", "heun"}) {  // heun scales the network's copy
    const Drawn negated = draw(model, tiny_table(sampler, kSteps), &hook);
    // The same by rows whose state's weights are negated.
    ReverseTable table = tiny_table(sampler, kSteps);
    for (ReverseRow& row : table.rows)
      for (int w = 0; w < row.writes; ++w)
        if (row.to[w] == kState)
          for (float& weight : row.weight[w]) weight = -weight;
    EXPECT_EQ(draw(model, table, nullptr).images, negated.images) << sampler;
  }
  // Without saying so the network goes on with the copy of the state that the update made.
  hook.says = false;
  Negate silent = hook;
  const Drawn stale = draw(model, tiny_table("ddim", kSteps), &silent);
  hook.says = true;
  EXPECT_NE(stale.images, draw(model, tiny_table("ddim", kSteps), &hook).images);
}

struct ReplaceTheUpdate : LoopHooks {
  bool update(Stream& stream, const LoopState& state) override {
    affine(stream, state.x, state.x, 0.75f, 0.25f, count);
    return true;
  }
  int64_t count = 0;
};

TEST(LoopHooks, AHookMayReplaceTheUpdate) {
  Model model;
  ReplaceTheUpdate hook;
  hook.count = count_of(model);
  const Drawn drawn = draw(model, tiny_table("ddpm", kSteps), &hook);
  std::vector<float> expected = drawn.states[0];
  for (int row = 1; row < kSteps; ++row) {
    for (float& x : expected) x = std::fmaf(0.75f, x, 0.25f);
    EXPECT_EQ(drawn.states[row], expected) << row;
  }
}

// What a hook sees of the row that is running, through device memory: the same launches serve every row.
struct NoteTheLevel : LoopHooks {
  explicit NoteTheLevel(int64_t n) : count(n) {}
  void after_estimate(Stream& stream, const LoopState& state) override {
    set_timesteps(stream, state.registers, state.rows, state.row, static_cast<int>(count));
  }
  int64_t count;
};

TEST(LoopHooks, SeeTheRowThatRuns) {
  Model model;
  NoteTheLevel hook(count_of(model));
  ReverseTable table = table_with_register();
  for (ReverseRow& row : table.rows) {
    for (float& weight : row.weight[0]) weight = 0;
    row.weight[0][kRegister0] = 0.001f;
  }
  const Drawn drawn = draw(model, table, &hook);
  for (int row = 0; row < kSteps; ++row)
    for (const float x : drawn.states[row]) ASSERT_FLOAT_EQ(x, 0.001f * table.rows[row].timestep) << row;
}

}  // namespace
}  // namespace ito::test
