// SPDX-License-Identifier: Apache-2.0
// A small transformer of the ops that the published diffusion transformer leaves out, as one that predicts pixels has
// them (RMSNorm, norms of queries and keys, rotary positions, SwiGLU, tokens in context): gradients of its parameters
// and of its input against finite differences.
#include "engine/ops/ops.h"
#include "tests/models/gradient_probe.h"

namespace ito::test {
namespace {

constexpr int kWidth = 16, kHeads = 2, kBefore = 2, kGrid = 2, kPatch = 2;

Value linear(Program& p, const std::string& name, Value x, int k) {
  return conv2d(p, name, x, pointwise_options(k, true));
}

Value append_transformer(Program& p, const NetworkInputs& inputs) {
  const Value time =
      linear_rows(p, "time", sinusoidal_features(p, "features", inputs.timestep, 8, 0, true), kWidth, false);
  const Value rows = linear_rows(p, "rows", time, 3 * kWidth, true);
  Value x = linear(p, "in.1", linear(p, "in.0", patchify(p, "patches", inputs.sample, kPatch), 6), kWidth);
  x = add_table(p, "positions", x, sine_positions(kGrid, kGrid, kWidth, kGrid, kGrid));
  x = add_context(p, "context", x, time, kBefore);
  const LayerNormOptions modulated{.centred = false, .weight = true, .rows = rows, .scale_at = kWidth, .shift_at = 0};
  const Value normed = layer_norm(p, "norm1", x, modulated);
  const auto turned = [&](const std::string& name) {
    const LayerNormOptions of_heads{.centred = false, .weight = true, .heads = kHeads};
    const Value of = layer_norm(p, name + "_norm", linear(p, name, normed, kWidth), of_heads);
    return rope(p, name + "_turned", of, kHeads, rope_table(kGrid, kGrid, kWidth / kHeads, kBefore));
  };
  const Value mixed = attention(p, "attention", turned("q"), turned("k"), linear(p, "to_v", normed, kWidth), kHeads);
  x = gated_sum(p, "sum", x, linear(p, "to_out", mixed, kWidth), rows, 2 * kWidth);
  Value h = layer_norm(p, "norm2", x, {.centred = false, .weight = true});
  h = linear(p, "w3", gated_silu(p, "gated", linear(p, "w12", h, 2 * 24), true), kWidth);
  x = drop_context(p, "image", add(p, "both", x, h), kGrid, kGrid);
  return unpatchify(p, "pixels", linear(p, "out", x, kPatch * kPatch * 3), kPatch);
}

Network transformer() {
  Network network;
  network.image = {kGrid * kPatch, kGrid * kPatch, 3};
  network.out_channels = 3;
  network.append = append_transformer;
  return network;
}

TEST(TransformerGradients, MatchFiniteDifferences) {
  set_device_threads(1);
  check_parameters("", transformer(), in_sim() || on_gpu() ? Directions{1, 1} : Directions{0, 1});
  check_input("", transformer(), 2);
  set_device_threads(0);
}

// As training runs it: packed and run in a captured graph, in which nothing may come from the host.
TEST(TransformerGradients, AProgramWithTablesIsCaptured) {
  Stream stream;
  Program program({.n = 2});
  const NetworkInputs inputs = plan_network(program, transformer());
  const std::vector<float> weights = busy_weights(program.layout(), 17), image = draws(2 * 4 * 4 * 3, 3);
  DeviceBuffer<float> device(weights.size(), "weights");
  device.upload(stream, weights.data());
  program.bind(device.data(), nullptr);
  copy_to_device(stream, program.data(inputs.sample).data, image.data(), image.size() * sizeof(float));
  fill_bytes(stream, program.data(inputs.timestep).data, 0, 2 * sizeof(float));
  const auto run = [&] {
    program.pack(stream);
    program.forward(stream);
  };
  const auto answer = [&] {
    std::vector<float> out(image.size());
    copy_to_host(stream, out.data(), program.data(program.output()).data, out.size() * sizeof(float));
    return out;
  };
  run();
  const std::vector<float> want = answer();
  const Graph graph = stream.capture(run);
  fill_bytes(stream, program.data(program.output()).data, 0, image.size() * sizeof(float));
  stream.replay(graph);
  EXPECT_EQ(answer(), want);
}

// The table's frequencies for heads of 8: 1 and 1 / 100, of the row and then of the column.
TEST(PositionTables, OfRowsAndColumns) {
  const std::vector<float> turns = rope_table(2, 3, 8, 1);
  ASSERT_EQ(turns.size(), 7u * 8);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(turns[i], i % 2 ? 0.0f : 1.0f);
  const float* at = turns.data() + 6 * 8;  // row 1, column 2
  const double angles[] = {1, 0.01, 2, 0.02};
  for (int i = 0; i < 4; ++i) {
    EXPECT_FLOAT_EQ(at[2 * i], static_cast<float>(std::cos(angles[i])));
    EXPECT_FLOAT_EQ(at[2 * i + 1], static_cast<float>(std::sin(angles[i])));
  }
  const std::vector<float> sines = sine_positions(2, 4, 8, 2, 2);  // columns at half steps
  ASSERT_EQ(sines.size(), 8u * 8);
  const float* last = sines.data() + 7 * 8;
  const double places[] = {1.5, 1};
  for (int part = 0; part < 2; ++part)
    for (int i = 0; i < 2; ++i) {
      const double angle = places[part] * (i ? 0.01 : 1);
      EXPECT_FLOAT_EQ(last[4 * part + i], static_cast<float>(std::sin(angle)));
      EXPECT_FLOAT_EQ(last[4 * part + 2 + i], static_cast<float>(std::cos(angle)));
    }
}

}  // namespace
}  // namespace ito::test
