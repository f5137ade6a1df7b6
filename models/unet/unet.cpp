// SPDX-License-Identifier: Apache-2.0
// See unet.h. The order of the ops is that of the forward; names are those of the published checkpoints.
#include "models/unet/unet.h"

#include "models/unet/unet_blocks.h"
#include "models/unet/unet_skip_blocks.h"

namespace ito {
namespace {

std::string path_of(const char* list, int i, const char* inner, int j) {
  return join_text(list, ".", i, ".", inner, ".", j);
}

// linear_2(silu(linear_1(features))).
Value embedding_mlp(UNetContext& context, const std::string& path, Value features) {
  const int dim = context.config.time_dim();
  const Value h = linear_rows(context.program, path + ".linear_1", features, dim, false);
  return linear_rows(context.program, path + ".linear_2", h, dim, true);
}

Value time_features(UNetContext& context, const std::string& name, Value t) {
  const UNetConfig& c = context.config;
  const int width = c.block_out_channels[0];
  if (c.time_embedding_type == "fourier") return fourier_features(context.program, name, t, width, 16.0f, false);
  if (c.time_embedding_type == "learned")
    return learned_features(context.program, name, t, *c.num_train_timesteps, width);
  return sinusoidal_features(context.program, name, t, width, static_cast<float>(c.freq_shift), c.flip_sin_to_cos);
}

Value class_embedding(UNetContext& context, Value labels) {
  const UNetConfig& c = context.config;
  if (!c.class_embed_type)
    return embedding(context.program, "class_embedding", labels, *c.num_class_embeds, c.time_dim());
  if (*c.class_embed_type == "identity") return labels;
  return embedding_mlp(context, "class_embedding", time_features(context, "time_proj", labels));
}

struct Skips {
  std::vector<Value> stack;
  void push(Value v) { stack.push_back(v); }
  Value pop() {
    const Value v = stack.back();
    stack.pop_back();
    return v;
  }
};

// The attention of a block, where it stands.
Value attend(UNetContext& context, const std::string& path, const UNetBlock& block, Value h) {
  if (block.skips) return attention_block(context, path, h, kSkipAttentionGroups, kSkipScale);
  return attention_block(context, path, h, context.config.norm_groups(context.program.info(h).c), 1);
}

// image: what skip blocks put beside the path.
Value down_path(UNetContext& context, Value h, Value image, Skips& skips) {
  const UNetConfig& c = context.config;
  for (int i = 0; i < c.levels(); ++i) {
    const UNetBlock block = c.down_block(i);
    const int channels = c.block_out_channels[i];
    for (int j = 0; j < c.layers_per_block; ++j) {
      const ResnetOptions layer =
          block.skips ? skip_down_layer(context.program.info(h).c, channels) : ResnetOptions{channels};
      h = resnet_block(context, path_of("down_blocks", i, "resnets", j), h, layer);
      if (block.attends) h = attend(context, path_of("down_blocks", i, "attentions", j), block, h);
      skips.push(h);
    }
    if (i + 1 == c.levels()) break;
    h = block.skips ? skip_downsample(context, join_text("down_blocks.", i), h, image)
                    : downsample_block(context, path_of("down_blocks", i, "downsamplers", 0), h, block.by_resnet);
    skips.push(h);
  }
  return h;
}

Value middle(UNetContext& context, Value h) {
  const UNetConfig& c = context.config;
  if (!c.mid_block_type) return h;
  const ResnetOptions resnet{c.block_out_channels.back(), c.mid_block_scale_factor};
  h = resnet_block(context, "mid_block.resnets.0", h, resnet);
  if (c.add_attention) {
    // Under scale_shift the published middle attention has no norm unless attn_norm_num_groups asks for one.
    const int by_default = c.resnet_time_scale_shift == "default" ? c.norm_groups(c.block_out_channels.back()) : 0;
    h = attention_block(context, "mid_block.attentions.0", h, c.attn_norm_num_groups.value_or(by_default),
                        c.mid_block_scale_factor);
  }
  return resnet_block(context, "mid_block.resnets.1", h, resnet);
}

// image: set to what skip blocks make, where there are any.
Value up_path(UNetContext& context, Value h, Value& image, Skips& skips) {
  const UNetConfig& c = context.config;
  for (int i = 0; i < c.levels(); ++i) {
    const UNetBlock block = c.up_block(i);
    const bool topmost = i + 1 == c.levels();
    const int channels = c.block_out_channels[c.levels() - 1 - i];
    for (int j = 0; j < c.layers_per_block + 1; ++j) {
      const Value kept = skips.pop();
      const int below = context.program.info(h).c;
      const ResnetOptions layer = block.skips
                                      ? skip_up_layer(below, context.program.info(kept).c, channels, block.attends)
                                      : ResnetOptions{channels};
      const Parts both = side_by_side(context.program, path_of("up_blocks", i, "concats", j), h, kept);
      h = resnet_block(context, path_of("up_blocks", i, "resnets", j), both, layer);
      if (block.attends && !block.skips) h = attend(context, path_of("up_blocks", i, "attentions", j), block, h);
    }
    if (block.skips) {
      if (block.attends) h = attend(context, path_of("up_blocks", i, "attentions", 0), block, h);
      h = skip_upsample(context, join_text("up_blocks.", i), h, image, topmost);
    } else if (!topmost) {
      h = upsample_block(context, path_of("up_blocks", i, "upsamplers", 0), h, block.by_resnet);
    }
  }
  return h;
}

}  // namespace

Value append_unet(Program& program, const UNetConfig& config, const NetworkInputs& inputs) {
  const int factor = config.downsampling();
  Value x = inputs.sample;
  const int height = program.info(x).h, width = program.info(x).w;
  ITO_USER_CHECK(height % factor == 0 && width % factor == 0, "images of ", height, " x ", width, ": a UNet of ",
                 config.block_out_channels.size(), " levels needs multiples of ", factor);
  UNetContext context{program, config, {}};
  if (config.center_input_sample) x = affine(program, "center_input_sample", x, 2.0f, -1.0f);

  context.emb = embedding_mlp(context, "time_embedding", time_features(context, "time_proj", inputs.timestep));
  if (config.has_class_labels())
    context.emb = add(program, "emb", context.emb, class_embedding(context, inputs.labels));

  Conv2dOptions conv_in;
  conv_in.k = config.block_out_channels[0];
  Value h = conv2d(program, "conv_in", x, conv_in);
  Skips skips;
  skips.push(h);
  h = down_path(context, h, x, skips);
  h = middle(context, h);
  Value image;
  h = up_path(context, h, image, skips);

  GroupNormOptions norm;
  norm.groups = config.norm_groups(config.block_out_channels[0]);
  norm.eps = static_cast<float>(config.norm_eps);
  norm.silu = true;
  h = group_norm(program, "conv_norm_out", h, norm);
  Conv2dOptions conv_out;
  conv_out.k = config.out_channels;
  conv_out.residual = image;
  h = conv2d(program, "conv_out", h, conv_out);
  if (config.time_embedding_type == "fourier") h = divide_rows(program, "divided_by_t", h, inputs.timestep);
  return h;
}

Network unet_network(const UNetConfig& config, int height, int width) {
  Network network;
  network.image = {height, width, config.in_channels};
  network.out_channels = config.out_channels;
  if (config.class_embed_type) {
    network.labels = LabelKind::Value;
    network.label_width = *config.class_embed_type == "identity" ? config.time_dim() : 1;
  } else if (config.num_class_embeds) {
    network.labels = LabelKind::Index;
    network.classes = *config.num_class_embeds;
  }
  if (config.time_embedding_type == "learned")
    network.time = {*config.num_train_timesteps, false,
                    join_text("its learned time embedding has num_train_timesteps ", *config.num_train_timesteps)};
  if (config.time_embedding_type == "fourier")
    network.time = {0, true, "time_embedding_type is fourier, which takes the logarithm of t"};
  network.append = [config](Program& program, const NetworkInputs& inputs) {
    return append_unet(program, config, inputs);
  };
  return network;
}

}  // namespace ito
