// SPDX-License-Identifier: Apache-2.0
// See decoder.h. The order of the ops is that of the forward: a middle of two residual blocks around an attention of
// one head, then a level after another, each of one residual block more than the encoder's, with copies to twice the
// size behind all but the last.
#include "models/autoencoder_kl/decoder.h"

#include "engine/ops/ops.h"

namespace ito {
namespace {

constexpr float kEps = 1e-6f;  // of all norms; no parameter of the configuration

struct DecoderContext {
  Program& program;
  const AutoencoderConfig& config;
};

Value normed(const DecoderContext& context, const std::string& name, Value x, bool silu) {
  GroupNormOptions options;
  options.groups = context.config.norm_num_groups;
  options.eps = kEps;
  options.silu = silu;
  return group_norm(context.program, name, x, options);
}

// x + conv(silu(norm(conv(silu(norm(x)))))), x through a 1x1 convolution where the channels change.
Value residual_block(const DecoderContext& context, const std::string& path, Value x, int channels) {
  Program& program = context.program;
  Conv2dOptions conv;
  conv.k = channels;
  Value h = conv2d(program, path + ".conv1", normed(context, path + ".norm1", x, true), conv);
  h = normed(context, path + ".norm2", h, true);
  if (program.info(x).c != channels)
    return conv_block(program, path + ".conv2", h,
                      {.k = channels, .shortcut = x, .shortcut_name = path + ".conv_shortcut"});
  conv.residual = x;
  return conv2d(program, path + ".conv2", h, conv);
}

Value attention_block(const DecoderContext& context, const std::string& path, Value x) {
  Program& program = context.program;
  const int channels = program.info(x).c;
  const Value h = normed(context, path + ".group_norm", x, false);
  const Conv2dOptions inner = pointwise_options(channels, true);
  const Value q = conv2d(program, path + ".to_q", h, inner);
  const Value k = conv2d(program, path + ".to_k", h, inner);
  const Value v = conv2d(program, path + ".to_v", h, inner);
  Conv2dOptions out = pointwise_options(channels, true);
  out.residual = x;
  return conv2d(program, path + ".to_out.0", attention(program, path + ".attention", q, k, v, 1), out);
}

}  // namespace

Value append_decoder(Program& program, const AutoencoderConfig& config, Value codes) {
  const DecoderContext context{program, config};
  Value x = codes;
  if (config.use_post_quant_conv)
    x = conv2d(program, "post_quant_conv", x, pointwise_options(config.latent_channels, false));
  Conv2dOptions conv;
  conv.k = config.block_out_channels.back();
  x = conv2d(program, "decoder.conv_in", x, conv);

  x = residual_block(context, "decoder.mid_block.resnets.0", x, conv.k);
  if (config.mid_block_add_attention) x = attention_block(context, "decoder.mid_block.attentions.0", x);
  x = residual_block(context, "decoder.mid_block.resnets.1", x, conv.k);

  const int levels = static_cast<int>(config.block_out_channels.size());
  for (int i = 0; i < levels; ++i) {
    const std::string path = join_text("decoder.up_blocks.", i);
    const int channels = config.block_out_channels[levels - 1 - i];
    for (int j = 0; j <= config.layers_per_block; ++j)
      x = residual_block(context, join_text(path, ".resnets.", j), x, channels);
    if (i + 1 < levels) x = conv_block(program, path + ".upsamplers.0.conv", x, {.k = channels, .upsampled = true});
  }
  conv.k = config.out_channels;
  return conv2d(program, "decoder.conv_out", normed(context, "decoder.conv_norm_out", x, true), conv);
}

ParameterLayout decoder_parameters(const AutoencoderConfig& config) {
  Program program({1, Mode::Inference, DType::F32});
  append_decoder(program, config, program.input("codes", 1, 1, config.latent_channels, DType::F32));
  return program.declared();
}

}  // namespace ito
