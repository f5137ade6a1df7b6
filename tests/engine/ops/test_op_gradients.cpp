// SPDX-License-Identifier: Apache-2.0
// Ops whose inputs are one and the same value, or are read by others too: the gradient of a shared value is the sum of
// those it would have as separate values. And ops of which only some inputs want a gradient.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/ops/ops.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

constexpr int kImages = 2, kSize = 4, kChannels = 8;

// Appends ops that read the values given and returns the result.
using Build = std::function<Value(Program&, const std::vector<Value>&)>;

struct InputShape {
  int h, w, c;
};

// Gradients of inputs x0, x1, ... of shape `input`, all holding the same numbers; those not in `wanted` stay empty.
std::vector<std::vector<float>> gradients(const Build& build, const InputShape& input, const std::vector<bool>& wanted,
                                          bool shared) {
  Program program({kImages, Mode::InputGradient, DType::F32});
  std::vector<Value> inputs;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (shared && i > 0)
      inputs.push_back(inputs[0]);
    else
      inputs.push_back(program.input(join_text("x", i), input.h, input.w, input.c, DType::F32, wanted[i]));
  }
  program.set_output(build(program, inputs));
  program.finish();
  Stream stream;
  const std::vector<float> initial = busy_weights(program.layout(), 6);
  DeviceBuffer<float> weights(std::max<size_t>(initial.size(), 1), "weights");
  copy_to_device(stream, weights.data(), initial.data(), initial.size() * sizeof(float));
  program.bind(weights.data(), nullptr);
  program.pack(stream);
  const size_t count = size_t{kImages} * input.h * input.w * input.c;
  const std::vector<float> x = draws(count, 1);
  for (Value v : inputs) copy_to_device(stream, program.data(v).data, x.data(), count * sizeof(float));
  program.forward(stream);
  const std::vector<float> dy = draws(static_cast<size_t>(kImages * program.info(program.output()).row()), 2);
  copy_to_device(stream, program.gradient(program.output()).data, dy.data(), dy.size() * sizeof(float));
  program.backward(stream);
  std::vector<std::vector<float>> out(shared ? 1 : inputs.size());
  for (size_t i = 0; i < out.size(); ++i) {
    if (!wanted[i]) continue;
    out[i].resize(count);
    copy_to_host(stream, out[i].data(), program.gradient(inputs[i]).data, count * sizeof(float));
  }
  return out;
}

void check(const char* what, const Build& build, const InputShape& input, size_t values) {
  const std::vector<bool> all(values, true);
  const auto separate = gradients(build, input, all, false), shared = gradients(build, input, all, true);
  // The sums are taken in another order, of terms that may cancel in one element but are as large as the largest one.
  double size = 0;
  for (const auto& g : separate)
    for (float v : g) size = std::max(size, static_cast<double>(std::fabs(v)));
  for (size_t i = 0; i < shared[0].size(); ++i) {
    double sum = 0;
    for (const auto& g : separate) sum += static_cast<double>(g[i]);
    ASSERT_NEAR(shared[0][i], sum, 8 * 0x1p-24 * size) << what << ", element " << i;
  }
  // An input that wants none changes nothing for the others.
  for (size_t unwanted = 0; unwanted < values; ++unwanted) {
    std::vector<bool> wanted(values, true);
    wanted[unwanted] = false;
    const auto some = gradients(build, input, wanted, false);
    for (size_t i = 0; i < values; ++i)
      if (wanted[i]) {
        EXPECT_EQ(some[i], separate[i]) << what << ", input " << i << " without " << unwanted;
      }
  }
}

constexpr InputShape kActivation{kSize, kSize, kChannels};
constexpr InputShape kRows{1, 1, kChannels};

TEST(OpGradients, Attention) {
  check(
      "attention", [](Program& p, const auto& x) { return attention(p, "attention", x[0], x[1], x[2], 2); },
      kActivation, 3);
}

TEST(OpGradients, ConvolutionWithItsInputAsResidual) {
  const auto build = [](Program& p, const auto& x) {
    Conv2dOptions options;
    options.k = kChannels;
    options.residual = x[1];
    options.scale = 0.7f;
    return conv2d(p, "conv", x[0], options);
  };
  check("conv2d", build, kActivation, 2);
}

// A block's gradients are those of the ops that it stands for, and so is its value; the sum of its inputs' gradients
// is that of separate values.
Value block(Program& p, const std::vector<Value>& x, bool upsampled, bool apart) {
  const Value small = upsampled ? average_pool(p, "pool", x[0]) : x[0];
  ConvBlockOptions options{.k = 2 * kChannels, .upsampled = upsampled, .shortcut = {x[1], x[2]}, .scale = 0.7f};
  options.shortcut_name = "shortcut";
  if (!apart) return conv_block(p, "conv", small, options);
  Conv2dOptions conv;
  conv.k = options.k;
  conv.scale = options.scale;
  conv.residual = conv2d(p, "shortcut", concat_channels(p, "both", x[1], x[2]), pointwise_options(options.k, false));
  return conv2d(p, "conv", upsampled ? upsample_nearest(p, "up", small) : small, conv);
}

TEST(OpGradients, AConvolutionWithWhatStandsAroundIt) {
  for (const bool upsampled : {false, true}) {
    const auto build = [&](bool apart) {
      return [=](Program& p, const auto& x) { return block(p, x, upsampled, apart); };
    };
    check("block", build(false), kActivation, 3);
    const std::vector<bool> all(3, true);
    EXPECT_EQ(gradients(build(false), kActivation, all, false), gradients(build(true), kActivation, all, false));
  }
}

TEST(OpGradients, ANormOfTwoSideBySide) {
  const auto build = [](bool apart) {
    return [=](Program& p, const auto& x) {
      GroupNormOptions options{.groups = 2, .silu = true};
      const Parts both = side_by_side(p, "both", x[0], x[1]);
      EXPECT_TRUE(both.second);
      if (apart) return group_norm(p, "norm", joined(p, "joined", both), options);
      return group_norm(p, "norm", both, options);
    };
  };
  check("norm", build(false), kActivation, 2);
  const std::vector<bool> all(2, true);
  EXPECT_EQ(gradients(build(false), kActivation, all, false), gradients(build(true), kActivation, all, false));
  EXPECT_EQ(gradients(build(false), kActivation, all, true), gradients(build(true), kActivation, all, true));
  Program p({1, Mode::Inference, DType::F32});
  const Value odd = p.input("odd", 2, 2, 6, DType::F32);
  EXPECT_FALSE(side_by_side(p, "both", odd, odd).second) << "strips of eight channels would lie in both";
}

TEST(OpGradients, AddAndConcatenation) {
  check(
      "add", [](Program& p, const auto& x) { return add(p, "add", x[0], x[1], 0.3f); }, kActivation, 2);
  check(
      "concat", [](Program& p, const auto& x) { return concat_channels(p, "concat", x[0], x[1]); }, kActivation, 2);
}

TEST(OpGradients, ReadByEveryElementwiseOp) {
  const auto build = [](Program& p, const auto& x) {
    const Value a = silu(p, "silu", x[0]), b = affine(p, "affine", x[1], 2.0f, 1.0f);
    const Value c = upsample_nearest(p, "up", average_pool(p, "pool", x[2]));
    const Value d = fir_upsample(p, "filter up", fir_downsample(p, "filter down", x[3]));
    return add(p, "sum", add(p, "ab", a, b), add(p, "cd", c, d));
  };
  check("elementwise", build, kActivation, 4);
}

// Rows that two norms add to their x, or scale and shift by: the second one's gradient is added to the first one's.
TEST(OpGradients, RowsOfTwoNorms) {
  const auto norm = [](Program& p, const std::string& name, Value rows, bool modulate) {
    GroupNormOptions options;
    options.groups = 2;
    options.silu = true;
    (modulate ? options.scale_shift : options.temb) = rows;
    const Value x = conv2d(p, name + ".x", rows, pointwise_options(modulate ? kChannels / 2 : kChannels, false));
    return group_norm(p, name, x, options);
  };
  for (const bool modulate : {false, true})
    check(
        modulate ? "scale_shift" : "temb",
        [&](Program& p, const auto& x) {
          const Value a = norm(p, "a", x[0], modulate), b = norm(p, "b", x[1], modulate);
          return add(p, "y", a, b);
        },
        kRows, 2);
}

// The rows and x are one value, or only one of them wants a gradient.
TEST(OpGradients, NormOfWhatWantsNoGradient) {
  const auto build = [](Program& p, const auto& x) {
    GroupNormOptions options;
    options.groups = 4;
    options.temb = x[1];
    return group_norm(p, "norm", x[0], options);
  };
  check("norm", build, kRows, 2);
}

// Shift, scale and gate are slices of one tensor: its gradient is made of three, of two ops.
TEST(OpGradients, ModulatedNormAndGatedSum) {
  for (const bool centred : {true, false}) {
    const auto build = [centred](Program& p, const auto& x) {
      const Value rows = conv2d(p, "rows", x[1], pointwise_options(3 * kChannels, true));
      const LayerNormOptions norm{
          .centred = centred, .weight = true, .bias = true, .rows = rows, .scale_at = kChannels, .shift_at = 0};
      return gated_sum(p, "sum", x[0], layer_norm(p, "norm", x[2], norm), rows, 2 * kChannels);
    };
    check("modulated norm and gated sum", build, kRows, 3);
  }
}

TEST(OpGradients, AttentionOfNormedAndTurnedHeads) {
  const auto build = [](Program& p, const auto& x) {
    const auto turned = [&p](const char* name, Value v) {
      const Value normed = layer_norm(p, name, v, {.centred = false, .weight = true, .heads = 2});
      return rope(p, name, normed, 2, rope_table(kSize, kSize, kChannels / 2, 0));
    };
    const Value q = turned("q", x[0]), k = turned("k", x[1]);
    return attention(p, "attention", q, k, x[2], 2);
  };
  check("attention", build, kActivation, 3);
}

// A class in front of a single token, which attends to it.
TEST(OpGradients, TokensInContext) {
  const auto build = [](Program& p, const auto& x) {
    const Value image = conv2d(p, "image", x[0], pointwise_options(kChannels, true));
    const Value all = add_context(p, "context", image, x[1], 3);
    return drop_context(p, "dropped", attention(p, "attention", all, all, all, 2), 1, 1);
  };
  check("context", build, kRows, 2);
}

TEST(OpGradients, WindowsHaveNone) {
  for (const auto pool : {window_max, window_mean}) {
    Program inference({1, Mode::Inference, DType::F32}), gradient({1, Mode::InputGradient, DType::F32});
    const Value plain = inference.input("x", 5, 7, 3, DType::F32, true);
    const ValueInfo pooled = inference.info(pool(inference, "pool", plain, {.size = 3, .stride = 2, .pad = 1}));
    EXPECT_EQ(TensorShape(pooled), (TensorShape{1, 3, 4, 3, DType::F32}));
    const Value wanting = gradient.input("x", 5, 7, 3, DType::F32, true);
    EXPECT_THROW(pool(gradient, "pool", wanting, {}), Error);
  }
}

TEST(OpGradients, ActivationsPatchesAndTables) {
  const auto build = [](Program& p, const auto& x) {
    const Value patches = patchify(p, "patches", x[0], 2);
    const Value positive = relu(p, "relu", patches);
    const Value a = unpatchify(p, "image", add(p, "both", positive, gelu(p, "tanh", patches, Gelu::Tanh)), 2);
    const Value b =
        add_table(p, "table", gelu(p, "erf", x[1], Gelu::Erf), sine_positions(kSize, kSize, kChannels, 4, 4));
    const Value c =
        concat_channels(p, "halves", gated_silu(p, "first", x[2], true), gated_silu(p, "last", x[2], false));
    return add(p, "sum", add(p, "ab", a, b), c);
  };
  check("elementwise", build, kActivation, 3);
}

}  // namespace
}  // namespace ito::test
