// SPDX-License-Identifier: Apache-2.0
// See dit.h. The order of the ops is that of the forward; names are those of the published checkpoints, in which every
// block has an embedding of time and class of its own, and the end reads the first block's. A new network begins as
// the paper's does (adaLN-Zero): what makes shifts, scales and gates is zero, and so is the last layer, so that every
// block passes on what it reads and the answer is 0; embeddings begin small, and all other matrices as Glorot and
// Bengio have them.
#include "models/dit/dit.h"

#include "engine/ops/ops.h"

namespace ito {
namespace {

constexpr int kTimeFeatures = 256;
constexpr Start kSmall{Initial::Normal, 0.02f};  // embeddings of time and class
constexpr float kModulatedEps = 1e-6f;           // of the norms that are no parameter of the configuration

struct DiTContext {
  Program& program;
  const DiTConfig& config;
  Value time, labels;     // features of t; class numbers
  uint32_t dropouts = 0;  // counted as the layers come
};

Value linear(DiTContext& context, const std::string& name, Value x, int k) {
  Conv2dOptions options = pointwise_options(k, true);
  options.start = Initial::Xavier;
  return conv2d(context.program, name, x, options);
}

Value dropped(DiTContext& context, const std::string& name, Value x) {
  return dropout(context.program, name, x, static_cast<float>(context.config.dropout), ++context.dropouts);
}

// Rows (N, width): linear_2(silu(linear_1(features of t))) and the class's row of the table.
Value condition(DiTContext& context, const std::string& path) {
  Program& p = context.program;
  const int width = context.config.width();
  const std::string time = path + ".timestep_embedder";
  const Value h = linear_rows(p, time + ".linear_1", context.time, width, false, kSmall);
  const Value of_time = linear_rows(p, time + ".linear_2", h, width, true, kSmall);
  const Value of_class = embedding(p, path + ".class_embedder.embedding_table", context.labels,
                                   *context.config.num_embeds_ada_norm + 1, width, kSmall);
  return add(p, path, of_time, of_class);
}

// x + gate attention(modulated norm of x), then x + gate feed_forward(modulated norm of x); shifts, scales and gates
// are slices of one linear layer's result.
Value block(DiTContext& context, const std::string& path, Value x, Value rows) {
  Program& p = context.program;
  const DiTConfig& c = context.config;
  const int width = c.width();
  const Value normed =
      layer_norm(p, path + ".norm1.norm", x, {.eps = kModulatedEps, .rows = rows, .scale_at = width, .shift_at = 0});
  const Value q = linear(context, path + ".attn1.to_q", normed, width);
  const Value k = linear(context, path + ".attn1.to_k", normed, width);
  const Value v = linear(context, path + ".attn1.to_v", normed, width);
  Value h = attention(p, path + ".attn1", q, k, v, c.num_attention_heads);
  h = dropped(context, path + ".attn1.to_out.1", linear(context, path + ".attn1.to_out.0", h, width));
  x = gated_sum(p, path + ".attn1.sum", x, h, rows, 2 * width);

  h = layer_norm(p, path + ".norm3", x,
                 {.eps = static_cast<float>(c.norm_eps),
                  .weight = c.norm_elementwise_affine,
                  .bias = c.norm_elementwise_affine,
                  .rows = rows,
                  .scale_at = 4 * width,
                  .shift_at = 3 * width});
  h = linear(context, path + ".ff.net.0.proj", h, 4 * width);
  h = gelu(p, path + ".ff.net.0", h, c.activation_fn == "gelu" ? Gelu::Erf : Gelu::Tanh);
  h = linear(context, path + ".ff.net.2", dropped(context, path + ".ff.net.1", h), width);
  return gated_sum(p, path + ".ff.sum", x, h, rows, 5 * width);
}

}  // namespace

Value append_dit(Program& program, const DiTConfig& config, const NetworkInputs& inputs) {
  const ValueInfo image = program.info(inputs.sample);
  const int patch = config.patch_size, width = config.width();
  ITO_USER_CHECK(image.h % patch == 0 && image.w % patch == 0, "images of ", image.h, " x ", image.w,
                 ": a transformer of patches of ", patch, " pixels needs multiples of ", patch);
  DiTContext context{program, config, {}, inputs.labels};
  context.time = sinusoidal_features(program, "time_proj", inputs.timestep, kTimeFeatures, 1.0f, true);

  Conv2dOptions embed = pointwise_options(width, false);
  embed.r = embed.s = embed.stride = patch;
  embed.start = Initial::Xavier;
  Value x = conv2d(program, "pos_embed.proj", inputs.sample, embed);
  const int base = config.sample_size / patch;
  x = add_table(program, "pos_embed", x, sine_positions(image.h / patch, image.w / patch, width, base, base));

  Value first_condition;
  for (int i = 0; i < config.num_layers; ++i) {
    const std::string path = join_text("transformer_blocks.", i);
    const Value of_block = condition(context, path + ".norm1.emb");
    if (i == 0) first_condition = of_block;
    x = block(context, path, x,
              linear_rows(program, path + ".norm1.linear", of_block, 6 * width, true, Initial::Zeros));
  }

  const Value rows = linear_rows(program, "proj_out_1", first_condition, 2 * width, true, Initial::Zeros);
  x = layer_norm(program, "norm_out", x, {.eps = kModulatedEps, .rows = rows, .scale_at = width, .shift_at = 0});
  Conv2dOptions last = pointwise_options(patch * patch * config.outputs(), true);
  last.start = Initial::Zeros;
  x = conv2d(program, "proj_out_2", x, last);
  return unpatchify(program, "unpatchified", x, patch);
}

Network dit_network(const DiTConfig& config, int height, int width) {
  Network network;
  network.image = {height, width, config.in_channels};
  network.out_channels = config.outputs();
  network.labels = LabelKind::Index;
  network.classes = *config.num_embeds_ada_norm;
  network.null_class = network.classes;  // a row of the table more than there are classes
  network.append = [config](Program& program, const NetworkInputs& inputs) {
    return append_dit(program, config, inputs);
  };
  return network;
}

}  // namespace ito
