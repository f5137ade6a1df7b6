// SPDX-License-Identifier: Apache-2.0
// See unet_skip_blocks.h.
#include "models/unet/unet_skip_blocks.h"

#include <algorithm>

namespace ito {
namespace {

constexpr int kImageChannels = 3;  // in the published network, whatever the images have

int groups_of(int channels) {
  return std::min(channels / 4, 32);
}

ResnetOptions resampled(int channels, Resampling resampling) {
  return {channels, kSkipScale, resampling, groups_of(channels), groups_of(channels), true};
}

}  // namespace

ResnetOptions skip_down_layer(int in_channels, int out_channels) {
  return {out_channels, kSkipScale, Resampling::None, groups_of(in_channels), groups_of(out_channels), false};
}

ResnetOptions skip_up_layer(int below, int kept, int out_channels, bool attends) {
  const int groups_in = attends ? std::min(below + kept / 4, 32) : groups_of(below + kept);
  return {out_channels, kSkipScale, Resampling::None, groups_in, groups_of(out_channels), false};
}

Value skip_downsample(UNetContext& context, const std::string& path, Value h, Value& image) {
  Program& program = context.program;
  const int channels = program.info(h).c;
  h = resnet_block(context, path + ".resnet_down", h, resampled(channels, Resampling::FirDown));
  image = fir_downsample(program, path + ".downsamplers.0", image);
  Conv2dOptions projection = pointwise_options(channels, false);
  projection.residual = h;
  return conv2d(program, path + ".skip_conv", image, projection);
}

Value skip_upsample(UNetContext& context, const std::string& path, Value h, Value& image, bool topmost) {
  Program& program = context.program;
  const int channels = program.info(h).c;
  if (image) image = fir_upsample(program, path + ".upsampler", image);
  if (topmost) return h;
  GroupNormOptions norm;
  norm.groups = groups_of(channels);
  norm.eps = static_cast<float>(context.config.norm_eps);
  norm.silu = true;
  Conv2dOptions to_image;
  to_image.k = kImageChannels;
  to_image.residual = image;
  image = conv2d(program, path + ".skip_conv", group_norm(program, path + ".skip_norm", h, norm), to_image);
  return resnet_block(context, path + ".resnet_up", h, resampled(channels, Resampling::FirUp));
}

}  // namespace ito
