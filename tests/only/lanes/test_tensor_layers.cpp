// SPDX-License-Identifier: Apache-2.0
// Layers on our tensor-core kernels, by way of a kernel table: what a trial says of them, and that a layer runs them.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

#include "engine/ops/ops.h"
#include "engine/training/trainer.h"
#include "kernels/seams/attention.h"
#include "kernels/seams/conv_block.h"
#include "tests/kernels/op_test.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

const ConvShape kShapes[] = {
    {8, 8, 16, 24, 3, 3, 1, 1, 1, 1, 1},                                       // as the inside of a network
    {9, 7, 3, 8, 3, 3, 1, 1, 1, 1, 1},                                         // a stem: channels padded
    {9, 8, 16, 8, 3, 3, 2, 0, 0, 1, 1},                                        // half the size
    {5, 5, 40, 16, 1, 1, 1, 0, 0, 0, 0}, {8, 8, 40, 16, 3, 3, 1, 1, 1, 1, 1},  // takes a norm in
};

class TensorLayers : public ::testing::Test {
 public:
  ~TensorLayers() override { use_kernel_table({}); }
};

// Right values with bias and residual, the same bits again, an image's alone and among others.
TEST_F(TensorLayers, PassTheTrial) {
  for (const ConvShape& shape : kShapes) {
    const ConvLayer layer("layer", shape, DType::BF16, {true, true});
    std::map<std::string, int> seen;
    for (const KernelTiming& timing : layer.time_choices(1)) {
      EXPECT_EQ(timing.trouble, "") << timing.name << ": " << timing.key;
      ++seen[timing.name];
    }
    EXPECT_EQ(seen["sm80"], 3);
    if (device_name() != std::string_view("sim")) continue;
    const bool whole = shape.c % 8 == 0 && shape.k % 8 == 0;  // what sm90 takes
    EXPECT_EQ(seen["sm90"], !whole ? 0 : shape.stride == 1 ? 2 : 1);
  }
}

TEST_F(TensorLayers, AttentionPassesTheTrial) {
  for (const auto& [tokens, heads, head_dim] : {std::tuple{49, 2, 32}, {16, 1, 64}}) {
    const AttentionShape shape{1, tokens, heads, head_dim, 1.0f};
    int seen = 0;
    for (const KernelTiming& timing : time_attention_choices(shape, DType::BF16, true)) {
      if (timing.name != "sm80") continue;
      EXPECT_EQ(timing.trouble, "") << timing.key;
      ++seen;
    }
    EXPECT_EQ(seen, 2);
  }
}

// A whole training step, everything that they take on them: near the portable kernels' losses, and the same bits
// however the batch is cut into passes.
TEST_F(TensorLayers, TrainANetwork) {
  const auto train = [](bool on_ours, int micro_batch) {
    use_kernel_table({});
    TrainSettings settings;
    settings.batch = 2 * images_per_chunk();
    settings.micro_batch = micro_batch;
    settings.compute = DType::BF16;
    settings.learning_rate.steps = 4;
    settings.learning_rate.peak = 1e-3;
    KernelTable table{.source = "test", .device = device_name()};
    for (const auto& [key, name] : Trainer(tiny_network(), NoiseSchedule({}), settings).kernel_choices())
      table.choices[key] = on_ours ? "sm80" : name;
    use_kernel_table(table);
    Trainer trainer(tiny_network(), NoiseSchedule({}), settings);
    trainer.set_weights(initial_weights(trainer.layout(), 3));
    const std::vector<float> x0 = draws(settings.batch * tiny_network().image.size(), 5);
    for (int step = 0; step < (kSanitized ? 1 : 3); ++step) trainer.step(x0.data(), nullptr);
    return std::pair{trainer.state().loss_sum, trainer.download(Trainer::Arena::FirstMoment)};
  };
  const auto ours = train(true, 0);
  EXPECT_EQ(ours.second, train(true, images_per_chunk()).second);
  const auto portable = train(false, 0);
  EXPECT_NE(ours.second, portable.second);
  EXPECT_NEAR(ours.first, portable.first, 0x1p-7 * portable.first);
}

// Convolutions on our kernel leave the moments of their results, and a norm of two does not read for them again. A
// group lies in both.
TEST_F(TensorLayers, ANormTakesMomentsFromItsConvolution) {
  struct Result {
    Values y;
    std::vector<uint16_t> last;  // image alone
    bool has_moments;
  };
  const auto run = [](const std::string& kernel) {
    use_kernel_table({});
    const int n = 3, pixels = 24 * 16, size = pixels * 16, made = pixels * 24;  // three tiles of pixels
    const auto build = [&](int images) {
      auto p = std::make_unique<Program>(ProgramOptions{images, Mode::Inference, DType::BF16});
      const Value x = p->input("x", 24, 16, 16, DType::BF16);
      Conv2dOptions conv;
      conv.k = 16;
      GroupNormOptions norm;
      norm.groups = 4;
      const Value wide = conv2d(*p, "conv", x, conv);
      conv.k = 8;
      p->set_output(group_norm(*p, "norm", side_by_side(*p, "both", wide, conv2d(*p, "narrow", x, conv)), norm));
      p->finish();
      return p;
    };
    KernelTable table{.source = "test", .device = device_name(), .choices = build(1)->kernel_choices()};
    for (auto& [key, name] : table.choices) name = kernel;
    use_kernel_table(table);
    Stream stream;
    const Values x = random_values(n * size, 7);
    const auto forward = [&](int images, int first) {
      const auto p = build(images);
      const std::vector<float> initial = initial_weights(p->layout(), 1);
      DeviceBuffer<float> weights(initial.size(), "weights");
      weights.upload(stream, initial.data());
      p->bind(weights.data(), nullptr);
      p->pack(stream);
      const DeviceArray<bf16> in(stream, Values(x.begin() + first * size, x.begin() + (first + images) * size));
      copy_on_device(stream, p->data(Value{0}).data, in.data(), sizeof(bf16) * images * size);
      p->forward(stream);
      std::vector<uint16_t> bits(static_cast<size_t>(images) * made);
      copy_to_host(stream, bits.data(), p->data(p->output()).data, sizeof(bf16) * bits.size());
      const auto is_moments = [](const MemoryBlock& block) { return block.name == "conv moments"; };
      return std::pair{bits, std::ranges::any_of(p->plan().blocks(), is_moments)};
    };
    const auto [all, has_moments] = forward(n, 0);
    Result result{{}, forward(1, n - 1).first, has_moments};
    for (const uint16_t bits : all) result.y.push_back(std::bit_cast<float>(uint32_t{bits} << 16));
    EXPECT_TRUE(std::equal(result.last.begin(), result.last.end(), all.end() - made)) << kernel;
    return result;
  };
  const Result ours = run("sm80"), portable = run("portable");
  EXPECT_TRUE(ours.has_moments);
  EXPECT_FALSE(portable.has_moments);
  // Both round once; their sums differ by fp32's rounding, which may turn one unit of bf16 in the norm's input and
  // one in its result, and a silu's slope is below 1.1.
  for (size_t i = 0; i < ours.y.size(); ++i)
    ASSERT_NEAR(ours.y[i], portable.y[i], 0x1p-6 * std::max(1.0, std::fabs(portable.y[i]))) << i;
}

// A block by one launch has the values of the block apart, in both passes, and an image its bits alone and among
// others.
TEST_F(TensorLayers, ABlockIsOneOrApart) {
  const ConvBlockShape shapes[] = {{{16, 8, 16, 24, 3, 3, 1, 1, 1, 1, 1}, true},
                                   {{7, 6, 24, 16, 3, 3, 1, 1, 1, 1, 1}, false, 40, 16},
                                   {{8, 8, 8, 72, 3, 3, 1, 1, 1, 1, 1}, true, 24}};
  for (const ConvBlockShape& shape : shapes) {
    EXPECT_EQ(make_conv_block("layer", shape, DType::BF16), nullptr) << "sim's rule is the portable kernel";
    EXPECT_TRUE(conv_block_choices(shape, DType::F32, nullptr).empty());
    std::vector<KernelTiming> timings = time_conv_block(shape, DType::BF16, true, 1, {});
    ASSERT_EQ(timings.size(), 2u);
    EXPECT_EQ(timings[0].trouble, "") << timings[0].key;
    EXPECT_EQ(timings[0].name, "sm80");
    EXPECT_EQ(timings[1].name, kBlockApart);
    KernelTable table{.source = "test", .device = device_name()};
    table.choices[timings[0].key] = "sm80";
    use_kernel_table(table);
    const auto one = make_conv_block("layer", shape, DType::BF16);
    ASSERT_NE(one, nullptr);
    EXPECT_EQ(conv_block_choices(shape, DType::BF16, one.get()), table.choices);
    table.choices[timings[0].key] = "cudnn";
    use_kernel_table(table);
    EXPECT_THROW(make_conv_block("layer", shape, DType::BF16), UserError);
    table.binding = false;
    use_kernel_table(table);
    EXPECT_EQ(make_conv_block("layer", shape, DType::BF16), nullptr);
    use_kernel_table({});
  }
}

// A training program's results on a kernel table that `choose` makes: the output, the gradients of `inputs` and of all
// parameters, by name.
struct Trained {
  std::map<std::string, Values> values;
  bool has(const std::string& block) const { return std::ranges::find(blocks, block) != blocks.end(); }
  std::vector<std::string> blocks;
};
template <class Append, class Choose>
Trained trained(int n, int inputs, const Append& append, const Choose& choose) {
  const auto build = [&] {
    auto p = std::make_unique<Program>(ProgramOptions{n, Mode::Training, DType::BF16});
    p->set_output(append(*p));
    p->finish();
    return p;
  };
  use_kernel_table({});
  KernelTable table{.source = "test", .device = device_name()};
  for (const auto& [key, name] : build()->kernel_choices()) table.choices[key] = choose(key, name);
  use_kernel_table(table);
  const auto p = build();
  Stream stream;
  const std::vector<float> initial = busy_weights(p->layout(), 1);
  DeviceBuffer<float> weights(initial.size(), "weights"), gradients(initial.size(), "gradients");
  weights.upload(stream, initial.data());
  fill_bytes(stream, gradients.data(), 0xFF, gradients.bytes());
  p->bind(weights.data(), gradients.data());
  p->pack(stream);
  const auto fill = [&](DataRef to, size_t count, uint32_t seed) {
    by_type(to.type, [&](auto zero) {
      using T = decltype(zero);
      const DeviceArray<T> values(stream, random_values(count, seed));
      copy_on_device(stream, to.data, values.data(), sizeof(T) * count);
      stream.synchronize();
    });
  };
  for (int i = 0; i < inputs; ++i) fill(p->data(Value{i}), p->info(Value{i}).count(), 10 + i);
  p->forward(stream);
  fill(p->gradient(p->output()), p->info(p->output()).count(), 20);
  p->backward(stream);
  Trained result;
  const auto keep = [&](const std::string& name, ConstDataRef from, size_t count) {
    std::vector<char> bytes(count * size_of(from.type));
    copy_to_host(stream, bytes.data(), from.data, bytes.size());
    for (size_t i = 0; i < count; ++i) {
      uint32_t bits = 0;
      memcpy(reinterpret_cast<char*>(&bits) + 4 - size_of(from.type), &bytes[i * size_of(from.type)],
             size_of(from.type));
      result.values[name].push_back(std::bit_cast<float>(bits));
    }
  };
  keep("y", p->data(p->output()), p->info(p->output()).count());
  for (int i = 0; i < inputs; ++i)
    if (p->wants_gradient(Value{i})) keep(join_text("d", i), p->gradient(Value{i}), p->info(Value{i}).count());
  for (const Parameter& parameter : p->layout().all())
    keep(parameter.name, gradients.data() + parameter.offset, parameter.count());
  for (const MemoryBlock& block : p->plan().blocks()) result.blocks.push_back(block.name);
  return result;
}

// Of each tensor's largest value.
void expect_near(const Trained& got, const Trained& want, double share) {
  for (const auto& [name, values] : want.values) {
    double size = 0;
    for (const double v : values) size = std::max(size, std::fabs(v));
    ASSERT_EQ(got.values.at(name).size(), values.size()) << name;
    for (size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(got.values.at(name)[i], values[i], share * size) << name;
  }
}

// The op around it hands every gradient on, whichever way its block runs.
TEST_F(TensorLayers, ABlockTrainsAsItDoesApart) {
  const auto append = [](Program& p) {
    const Value x = p.input("x", 4, 3, 16, DType::BF16, true), a = p.input("a", 8, 6, 8, DType::BF16, true),
                b = p.input("b", 8, 6, 16, DType::BF16, true);
    ConvBlockOptions options{.k = 24, .upsampled = true, .shortcut = {a, b}, .scale = 0.7f};
    options.shortcut_name = "shortcut";
    return conv_block(p, "conv", x, options);
  };
  const auto with = [](const char* choice) {
    return [=](const std::string& key, const std::string& name) { return key.starts_with("block") ? choice : name; };
  };
  // One rounding to bf16 more or less, of a value and of its gradient.
  expect_near(trained(2, 3, append, with("sm80")), trained(2, 3, append, with(kBlockApart)), 0x1p-6);
}

// A data gradient on our kernel does the first step of the norm before it, of one tensor and of two, in a residual
// unit.
TEST_F(TensorLayers, ADataGradientTakesInTheNormBeforeIt) {
  const auto append = [](Program& p) {
    const Value a = p.input("a", 24, 16, 8, DType::BF16, true), b = p.input("b", 24, 16, 16, DType::BF16, true);
    const Value rows = linear_rows(p, "time", p.input("t", 1, 1, 8, DType::F32), 32, true);
    const Parts x = side_by_side(p, "both", a, b);
    GroupNormOptions norm{.groups = 4, .silu = true};
    Conv2dOptions conv;
    conv.k = 32;
    const Value h = conv2d(p, "conv1", group_norm(p, "norm1", x, norm), conv);
    norm.temb = rows;
    ConvBlockOptions options{.k = 32, .shortcut = x};
    options.shortcut_name = "shortcut";
    return conv_block(p, "conv2", group_norm(p, "norm2", h, norm), options);
  };
  const auto all_on = [](const std::string& kernel) {
    return [=](const std::string& key, const std::string&) {
      return kernel != "sm80" && key.starts_with("block") ? kBlockApart : kernel;
    };
  };
  const Trained ours = trained(2, 3, append, all_on("sm80")), portable = trained(2, 3, append, all_on("portable"));
  EXPECT_TRUE(ours.has("norm1 sums") && ours.has("norm2 sums") && ours.has("conv1 moments"));
  EXPECT_FALSE(portable.has("norm1 sums") || portable.has("norm2 sums"));
  // Two roundings to bf16 on the way of a gradient, where they may turn one way or the other, and their sums.
  expect_near(ours, portable, 0x1p-5);
}

// The filters stand in the packed form that the layer's runners want, in one copy or two.
TEST_F(TensorLayers, ATableMixesThem) {
  const ConvShape& shape = kShapes[1];
  const KernelChoices free = ConvLayer("layer", shape, DType::BF16, {true, true}).choices();
  Stream stream;
  const Values x = random_values(2 * 9 * 7 * 3, 1), dy = random_values(2 * 9 * 7 * 8, 2), w = random_values(216, 3);
  const DeviceArray<bf16> x_data(stream, x), dy_data(stream, dy);
  const DeviceArray<float> masters(stream, w);
  std::vector<Values> y, dx;
  for (const bool forward_on_ours : {false, true})
    for (const bool data_on_ours : {false, true}) {
      KernelTable table{.source = "test", .device = device_name(), .choices = free};
      for (auto& [key, name] : table.choices)
        name = (key.starts_with("forward") ? forward_on_ours : data_on_ours) ? "sm80" : "portable";
      use_kernel_table(table);
      ConvLayer layer("layer", shape, DType::BF16, {true, false});
      DeviceArray<char> packed(stream, layer.packed_bytes());
      layer.bind(packed);
      layer.pack(stream, masters);
      DeviceArray<bf16> y_data(stream, dy.size()), dx_data(stream, x.size());
      layer.forward(stream, y_data.data(), x_data.data(), {}, 2, nullptr);
      layer.backward_data(stream, dx_data.data(), Write::Set, dy_data.data(), 2, nullptr);
      y.push_back(y_data.values());
      dx.push_back(dx_data.values());
      EXPECT_EQ(layer.packed_bytes() > 2 * 256, forward_on_ours || data_on_ours);
    }
  // On the same kernel the same bits, whatever the other direction runs on.
  EXPECT_EQ(y[0], y[1]);
  EXPECT_EQ(y[2], y[3]);
  EXPECT_EQ(dx[0], dx[2]);
  EXPECT_EQ(dx[1], dx[3]);
}

}  // namespace
}  // namespace ito::test
