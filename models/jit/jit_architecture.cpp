// SPDX-License-Identifier: Apache-2.0
// JiT among the architectures, its named configurations, and how it is published to be trained: along the straight
// path, taught the image, with the error of the velocity, times from a logit-normal of the data's share (mean -0.8,
// deviation 0.8), and every tenth image without its class. jit-b-16, jit-l-16, jit-h-16: 131, 459 and 953 M parameters,
// for 256 x 256; -32: for 512 x 512, where noise is twice as large; jit-tiny: 1.3 M, 28 x 28, in minutes on two cores.
#include <cmath>

#include <nlohmann/json.hpp>

#include "models/architecture.h"
#include "models/jit/jit.h"

namespace ito {
namespace {

JiTConfig published(int depth, int heads, int head_dim, int bottleneck, int context_start, bool large) {
  JiTConfig c;
  c.num_layers = depth;
  c.num_attention_heads = heads;
  c.attention_head_dim = head_dim;
  c.bottleneck_dim = bottleneck;
  c.context_start = context_start;
  if (!large) return c;
  c.sample_size = {512, 512};
  c.patch_size = 32;
  c.noise_scale = 2;
  return c;
}

JiTConfig with_dropout(JiTConfig c, double dropout) {
  c.dropout = dropout;
  return c;
}

JiTConfig tiny() {
  JiTConfig c;
  c.sample_size = {28, 28};
  c.in_channels = 1;
  c.patch_size = 4;
  c.bottleneck_dim = 16;
  c.num_layers = 4;
  c.num_attention_heads = 2;
  c.num_classes = 10;
  c.context_length = 4;
  c.context_start = 1;
  return c;
}

constexpr NamedConfig kNamed[] = {
    {"jit-tiny", [] { return to_json(tiny()); }},
    {"jit-b-16", [] { return to_json(published(12, 12, 64, 128, 4, false)); }},
    {"jit-b-32", [] { return to_json(published(12, 12, 64, 128, 4, true)); }},
    {"jit-l-16", [] { return to_json(published(24, 16, 64, 128, 8, false)); }},
    {"jit-l-32", [] { return to_json(published(24, 16, 64, 128, 8, true)); }},
    {"jit-h-16", [] { return to_json(with_dropout(published(32, 16, 80, 256, 10, false), 0.2)); }},
    {"jit-h-32", [] { return to_json(with_dropout(published(32, 16, 80, 256, 10, true), 0.2)); }},
};

// Rectified flow, whose shift makes even steps of the published path, on which noise is c times as large, of steps
// here.
SchedulerConfig scheduler_of(const JiTConfig& config) {
  SchedulerConfig scheduler;
  scheduler.class_name = "FlowMatchEulerDiscreteScheduler";
  scheduler.family = Family::Flow;
  scheduler.num_train_timesteps = config.num_train_timesteps;
  scheduler.prediction_type = Quantity::x0();
  scheduler.clip_sample = false;
  scheduler.sampler_keys["shift"] = config.noise_scale;
  return scheduler;
}

Configured configure(const Json& json, const std::string& where, std::vector<std::string>* warnings) {
  const JiTConfig config = jit_config_from_json(json, where, warnings);
  Configured configured;
  configured.config = to_json(config);
  configured.image = {config.sample_size[0], config.sample_size[1], config.in_channels};
  configured.side_multiple = config.patch_size;
  configured.network = [config](int height, int width) { return jit_network(config, height, width); };
  configured.config_for = [config](int height, int width) {
    JiTConfig sized = config;
    sized.sample_size = {height, width};
    return to_json(sized);
  };
  configured.scheduler = scheduler_of(config);
  // ln(u / (1 - u)) of the data's share 1 - u is the other way round; a state whose noise is c times as large is
  // further on by ln c.
  configured.training = {
      .loss_weighting = join_text("velocity:noise_scale=", config.noise_scale),
      .timestep_sampling = join_text("logit-normal:mean=", 0.8 + std::log(config.noise_scale), ",std=0.8"),
      .class_dropout = config.num_classes ? 0.1 : 0.0};
  return configured;
}

Json with_classes(Json config, int classes) {
  config["num_classes"] = classes;
  return config;
}

}  // namespace

extern const Architecture kJiTTransformer2DModel;
const Architecture kJiTTransformer2DModel{
    "JiTTransformer2DModel", "transformer", configure, kNamed, nullptr, nullptr, with_classes, "ito"};

}  // namespace ito
