// SPDX-License-Identifier: Apache-2.0
// See unet_blocks.h.
#include "models/unet/unet_blocks.h"

namespace ito {
namespace {

GroupNormOptions norm_options(const UNetConfig& config, int groups, bool silu) {
  GroupNormOptions options;
  options.groups = groups;
  options.eps = static_cast<float>(config.norm_eps);
  options.silu = silu;
  return options;
}

Value resample(Program& program, const std::string& name, Value x, Resampling resampling) {
  if (resampling == Resampling::Down) return average_pool(program, name, x);
  if (resampling == Resampling::Up) return upsample_nearest(program, name, x);
  if (resampling == Resampling::FirDown) return fir_downsample(program, name, x);
  if (resampling == Resampling::FirUp) return fir_upsample(program, name, x);
  return x;
}

}  // namespace

Value resnet_block(UNetContext& context, const std::string& path, const Parts& input, const ResnetOptions& options) {
  Program& program = context.program;
  const UNetConfig& config = context.config;
  const bool scale_shift = config.resnet_time_scale_shift == "scale_shift";

  // The norm and a projected shortcut read two tensors where they stand, nothing else does.
  const int channels = channels_of(program, input);
  const bool is_projected = options.projected || channels != options.out_channels;
  const bool in_parts = is_projected && options.resampling == Resampling::None;
  const Parts x = in_parts ? input : joined(program, path + ".input", input);

  const int groups_in = options.groups_in > 0 ? options.groups_in : config.norm_groups(channels);
  Value h = group_norm(program, path + ".norm1", x, norm_options(config, groups_in, true));
  h = resample(program, path + ".resampled_norm1", h, options.resampling);
  const Parts shortcut = in_parts ? x : resample(program, path + ".resampled_input", x.first, options.resampling);
  Conv2dOptions conv1;
  conv1.k = options.out_channels;
  h = conv2d(program, path + ".conv1", h, conv1);

  const int width = scale_shift ? 2 * options.out_channels : options.out_channels;
  const Value projected = linear_rows(program, path + ".time_emb_proj", context.emb, width, true);
  const int groups_out = options.groups_out > 0 ? options.groups_out : config.norm_groups(options.out_channels);
  GroupNormOptions norm2 = norm_options(config, groups_out, true);
  (scale_shift ? norm2.scale_shift : norm2.temb) = projected;
  h = group_norm(program, path + ".norm2", h, norm2);
  h = dropout(program, path + ".dropout", h, static_cast<float>(config.dropout), ++context.dropouts);

  const float scale = static_cast<float>(1.0 / options.output_scale);
  if (is_projected) {
    ConvBlockOptions conv2{.k = options.out_channels, .shortcut = shortcut, .scale = scale};
    conv2.shortcut_name = path + ".conv_shortcut";
    return conv_block(program, path + ".conv2", h, conv2);
  }
  Conv2dOptions conv2;
  conv2.k = options.out_channels;
  conv2.residual = shortcut.first;
  conv2.scale = scale;
  return conv2d(program, path + ".conv2", h, conv2);
}

Value attention_block(UNetContext& context, const std::string& path, Value x, int groups, double output_scale) {
  Program& program = context.program;
  const int channels = program.info(x).c;
  const int head_dim = context.config.head_dim(channels);
  const int heads = channels / head_dim;
  ITO_USER_CHECK(heads > 0, path, ": attention_head_dim ", head_dim, " is wider than the ", channels, " channels");
  Value h = x;
  if (groups > 0) h = group_norm(program, path + ".group_norm", x, norm_options(context.config, groups, false));
  const Conv2dOptions inner = pointwise_options(heads * head_dim, true);
  const Value q = conv2d(program, path + ".to_q", h, inner);
  const Value k = conv2d(program, path + ".to_k", h, inner);
  const Value v = conv2d(program, path + ".to_v", h, inner);
  h = attention(program, path + ".attention", q, k, v, heads);
  Conv2dOptions out = pointwise_options(channels, true);
  out.residual = x;
  out.scale = static_cast<float>(1.0 / output_scale);
  return conv2d(program, path + ".to_out.0", h, out);
}

Value downsample_block(UNetContext& context, const std::string& path, Value x, bool as_resnet) {
  const int channels = context.program.info(x).c;
  if (as_resnet) return resnet_block(context, path, x, {channels, 1, Resampling::Down});
  Conv2dOptions conv;
  conv.k = channels;
  conv.stride = 2;
  // Without padding the published network pads one row below and one column at the right before it convolves.
  conv.pad_top = conv.pad_left = context.config.downsample_padding;
  return conv2d(context.program, path + ".conv", x, conv);
}

Value upsample_block(UNetContext& context, const std::string& path, Value x, bool as_resnet) {
  const int channels = context.program.info(x).c;
  if (as_resnet) return resnet_block(context, path, x, {channels, 1, Resampling::Up});
  return conv_block(context.program, path + ".conv", x, {.k = channels, .upsampled = true});
}

}  // namespace ito
