// SPDX-License-Identifier: Apache-2.0
// See jit_config.h.
#include "models/jit/jit_config.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/io/input_file.h"
#include "engine/io/json_reader.h"
#include "kernels/error.h"
#include "kernels/seams/attention.h"

namespace ito {
namespace {

using nlohmann::json;

// Each key with the field that it names, for reading and writing; but for sample_size, which may be one number.
template <class Config, class Visit>
void visit_keys(Config& c, Visit&& visit) {
  visit("in_channels", c.in_channels);
  visit("patch_size", c.patch_size);
  visit("bottleneck_dim", c.bottleneck_dim);
  visit("num_layers", c.num_layers);
  visit("num_attention_heads", c.num_attention_heads);
  visit("attention_head_dim", c.attention_head_dim);
  visit("mlp_ratio", c.mlp_ratio);
  visit("num_classes", c.num_classes);
  visit("context_length", c.context_length);
  visit("context_start", c.context_start);
  visit("dropout", c.dropout);
  visit("norm_eps", c.norm_eps);
  visit("noise_scale", c.noise_scale);
  visit("num_train_timesteps", c.num_train_timesteps);
}

void check(const JiTConfig& c, const std::string& where) {
  const auto within = [&](const char* key, int value, int least, int most) {
    ITO_USER_CHECK(value >= least && value <= most, where, ": ", key, " is ", value, "; expected ", least, " to ",
                   most);
  };
  for (const int extent : c.sample_size) within("sample_size", extent, 1, 1 << 14);
  within("in_channels", c.in_channels, 1, 1 << 12);
  within("patch_size", c.patch_size, 1, 1 << 8);
  within("bottleneck_dim", c.bottleneck_dim, 1, 1 << 16);
  within("num_layers", c.num_layers, 1, 1 << 10);
  within("num_attention_heads", c.num_attention_heads, 1, 1 << 10);
  within("attention_head_dim", c.attention_head_dim, 4, kMaxHeadDim);
  if (c.num_classes) within("num_classes", *c.num_classes, 1, 1 << 24);
  within("context_length", c.context_length, 0, 1 << 12);
  within("num_train_timesteps", c.num_train_timesteps, 1, 1 << 20);
  for (const int extent : c.sample_size)
    ITO_USER_CHECK(extent % c.patch_size == 0, where, ": sample_size ", extent, " is no multiple of patch_size ",
                   c.patch_size, "; change one of them");
  ITO_USER_CHECK(c.attention_head_dim % 4 == 0, where, ": attention_head_dim is ", c.attention_head_dim,
                 "; expected a multiple of 4, which turning by row and column needs");
  ITO_USER_CHECK(c.mlp_ratio > 0 && c.mlp_ratio <= 64 && c.hidden() >= 1, where, ": mlp_ratio is ", c.mlp_ratio,
                 "; expected a number above 0, at most 64, that leaves the feed-forward a width");
  ITO_USER_CHECK(!c.has_context() || (c.context_start >= 0 && c.context_start < c.num_layers), where,
                 ": context_start is ", c.context_start, "; expected one of the blocks, 0 to ", c.num_layers - 1,
                 ", or context_length 0");
  ITO_USER_CHECK(c.dropout >= 0 && c.dropout < 1, where, ": dropout is ", c.dropout, "; expected a value in [0, 1)");
  ITO_USER_CHECK(c.norm_eps > 0 && c.norm_eps < 1, where, ": norm_eps is ", c.norm_eps,
                 "; expected a small positive value");
  ITO_USER_CHECK(c.noise_scale >= 1e-3 && c.noise_scale <= 1e3, where, ": noise_scale is ", c.noise_scale,
                 "; expected 0.001 to 1000");
}

}  // namespace

int JiTConfig::hidden() const {
  return static_cast<int>(std::floor(std::floor(width() * mlp_ratio) * 2 / 3));
}

JiTConfig jit_config_from_json(const json& object, const std::string& where, std::vector<std::string>* warnings) {
  JsonReader reader(object, where);
  JiTConfig c;
  reader.read("sample_size", c.sample_size);
  visit_keys(c, [&](const char* key, auto& value) { reader.read(key, value); });
  check(c, where);
  if (warnings)
    if (const std::string unknown = reader.unread_names(); !unknown.empty())
      warnings->push_back(where + ": ignoring unknown keys: " + unknown);
  return c;
}

json to_json(const JiTConfig& c) {
  json object = {{"_class_name", "JiTTransformer2DModel"}};
  if (c.sample_size[0] == c.sample_size[1])
    object["sample_size"] = c.sample_size[0];
  else
    object["sample_size"] = c.sample_size;
  visit_keys(c, [&](const char* key, const auto& value) { object[key] = json_value(value); });
  return object;
}

}  // namespace ito
