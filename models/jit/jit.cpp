// SPDX-License-Identifier: Apache-2.0
// See jit.h. The order of the ops is that of the forward; names are those of the published checkpoints but for queries,
// keys and values, which are layers of their own here, and the tables of positions, which are no parameters. A new
// network begins as the published one does: what makes shifts, scales and gates is zero, and so is the last layer;
// embeddings begin small, and all other matrices as Glorot and Bengio have them.
#include "models/jit/jit.h"

#include "engine/ops/ops.h"

namespace ito {
namespace {

constexpr int kTimeFeatures = 256;
constexpr Start kSmall{Initial::Normal, 0.02f};  // embeddings of time and class

struct JiTContext {
  Program& program;
  const JiTConfig& config;
  Value rows;               // (N, width): time and class
  std::vector<float> turn;  // of the tokens that there are now
  uint32_t dropouts = 0;    // counted as the layers come
};

Value linear(JiTContext& context, const std::string& name, Value x, int k, bool bias = true) {
  Conv2dOptions options = pointwise_options(k, true);
  options.bias = bias;
  options.start = Initial::Xavier;
  return conv2d(context.program, name, x, options);
}

Value dropped(JiTContext& context, const std::string& name, Value x, bool drops) {
  if (!drops) return x;
  return dropout(context.program, name, x, static_cast<float>(context.config.dropout), ++context.dropouts);
}

// RMSNorm of a token, scaled and shifted by the image's rows from scale_at and shift_at on.
Value modulated_norm(JiTContext& context, const std::string& name, Value x, Value rows, int scale_at, int shift_at) {
  return layer_norm(context.program, name, x,
                    {.centred = false,
                     .eps = static_cast<float>(context.config.norm_eps),
                     .weight = true,
                     .rows = rows,
                     .scale_at = scale_at,
                     .shift_at = shift_at});
}

// Queries or keys: normalised by head, then turned by where their token stands.
Value placed(JiTContext& context, const std::string& path, const char* which, Value normed) {
  const JiTConfig& c = context.config;
  const std::string name = path + ".attn." + which;
  Value x = linear(context, join_text(path, ".attn.to_", which), normed, c.width());
  x = layer_norm(
      context.program, name + "_norm", x,
      {.centred = false, .eps = static_cast<float>(c.norm_eps), .weight = true, .heads = c.num_attention_heads});
  return rope(context.program, name + "_placed", x, c.num_attention_heads, context.turn);
}

// x + gate attention(modulated norm of x), then x + gate feed_forward(modulated norm of x); shifts, scales and gates
// are slices of one linear layer's result.
Value block(JiTContext& context, const std::string& path, Value x, bool drops) {
  Program& p = context.program;
  const JiTConfig& c = context.config;
  const int width = c.width();
  const Value rows = linear_rows(p, path + ".adaLN_modulation.1", context.rows, 6 * width, true, Initial::Zeros);
  Value h = modulated_norm(context, path + ".norm1", x, rows, width, 0);
  const Value q = placed(context, path, "q", h), k = placed(context, path, "k", h);
  const Value v = linear(context, path + ".attn.to_v", h, width);
  h = attention(p, path + ".attn", q, k, v, c.num_attention_heads);
  h = dropped(context, path + ".attn.proj_drop", linear(context, path + ".attn.proj", h, width), drops);
  x = gated_sum(p, path + ".attn.sum", x, h, rows, 2 * width);

  h = modulated_norm(context, path + ".norm2", x, rows, 4 * width, 3 * width);
  h = gated_silu(p, path + ".mlp.silu", linear(context, path + ".mlp.w12", h, 2 * c.hidden()), true);
  h = linear(context, path + ".mlp.w3", dropped(context, path + ".mlp.ffn_dropout", h, drops), width);
  return gated_sum(p, path + ".mlp.sum", x, h, rows, 5 * width);
}

// What the published network reads, of a state x = (1 - u) x0 + u eps: its own state z = t x0 + (1 - t) c eps at the
// same noise to signal, and t. With c = 1 they are x and 1 - u; else z = x / q and 1 - t = (u / c) / q,
// q = 1 - u (c - 1) / c.
struct OwnState {
  Value z, t;
};
OwnState own_state(Program& p, const JiTConfig& c, const NetworkInputs& inputs) {
  const double per_step = 1.0 / c.num_train_timesteps, scale = c.noise_scale;
  if (scale == 1) return {inputs.sample, affine(p, "t", inputs.timestep, static_cast<float>(-per_step), 1.0f)};
  const Value q = affine(p, "q", inputs.timestep, static_cast<float>(-per_step * (scale - 1) / scale), 1.0f);
  const Value part = affine(p, "u_over_c", inputs.timestep, static_cast<float>(per_step / scale), 0.0f);
  const Value t = affine(p, "t", divide_rows(p, "noise_part", part, q), -1.0f, 1.0f);
  return {divide_rows(p, "z", inputs.sample, q), t};
}

}  // namespace

Value append_jit(Program& program, const JiTConfig& config, const NetworkInputs& inputs) {
  const ValueInfo image = program.info(inputs.sample);
  const int patch = config.patch_size, width = config.width();
  ITO_USER_CHECK(image.h % patch == 0 && image.w % patch == 0, "images of ", image.h, " x ", image.w,
                 ": a transformer of patches of ", patch, " pixels needs multiples of ", patch);
  const int h = image.h / patch, w = image.w / patch;
  JiTContext context{program, config, {}, rope_table(h, w, config.attention_head_dim, 0)};
  const OwnState own = own_state(program, config, inputs);
  const Value time = sinusoidal_features(program, "time_proj", own.t, kTimeFeatures, 0.0f, true);
  context.rows = linear_rows(program, "t_embedder.mlp.2",
                             linear_rows(program, "t_embedder.mlp.0", time, width, false, kSmall), width, true, kSmall);
  Value of_class;
  if (config.num_classes) {
    of_class = embedding(program, "y_embedder.embedding_table", inputs.labels, *config.num_classes + 1, width, kSmall);
    context.rows = add(program, "condition", context.rows, of_class);
  }

  Conv2dOptions embed = pointwise_options(config.bottleneck_dim, false);
  embed.r = embed.s = embed.stride = patch;
  embed.bias = false;
  embed.start = Initial::Xavier;
  Value x = conv2d(program, "x_embedder.proj1", own.z, embed);
  x = linear(context, "x_embedder.proj2", x, width);
  x = add_table(program, "pos_embed", x, sine_positions(h, w, width, h, w));
  for (int i = 0; i < config.num_layers; ++i) {
    if (config.has_context() && i == config.context_start) {
      x = add_context(program, "in_context_posemb", x, of_class, config.context_length);
      context.turn = rope_table(h, w, config.attention_head_dim, config.context_length);
    }
    x = block(context, join_text("blocks.", i), x, config.drops(i));
  }
  if (config.has_context()) x = drop_context(program, "image_tokens", x, h, w);

  const Value rows =
      linear_rows(program, "final_layer.adaLN_modulation.1", context.rows, 2 * width, true, Initial::Zeros);
  x = modulated_norm(context, "final_layer.norm_final", x, rows, width, 0);
  Conv2dOptions last = pointwise_options(patch * patch * config.in_channels, true);
  last.start = Initial::Zeros;
  return unpatchify(program, "unpatchified", conv2d(program, "final_layer.linear", x, last), patch);
}

Network jit_network(const JiTConfig& config, int height, int width) {
  Network network;
  network.image = {height, width, config.in_channels};
  network.out_channels = config.in_channels;
  if (config.num_classes) {
    network.labels = LabelKind::Index;
    network.classes = *config.num_classes;
    network.null_class = network.classes;  // a row of the table more than there are classes
  }
  network.append = [config](Program& program, const NetworkInputs& inputs) {
    return append_jit(program, config, inputs);
  };
  return network;
}

}  // namespace ito
