// SPDX-License-Identifier: Apache-2.0
// See dit_config.h. Defaults are those of the published class; what is not implemented is refused by name.
#include "models/dit/dit_config.h"

#include <nlohmann/json.hpp>

#include "engine/io/input_file.h"
#include "engine/io/json_reader.h"
#include "kernels/error.h"
#include "kernels/seams/attention.h"

namespace ito {
namespace {

using nlohmann::json;

// Each key with the field that it names, for reading and writing.
template <class Config, class Visit>
void visit_keys(Config& c, Visit&& visit) {
  visit("num_attention_heads", c.num_attention_heads);
  visit("attention_head_dim", c.attention_head_dim);
  visit("in_channels", c.in_channels);
  visit("out_channels", c.out_channels);
  visit("num_layers", c.num_layers);
  visit("dropout", c.dropout);
  visit("norm_num_groups", c.norm_num_groups);
  visit("attention_bias", c.attention_bias);
  visit("sample_size", c.sample_size);
  visit("patch_size", c.patch_size);
  visit("activation_fn", c.activation_fn);
  visit("num_embeds_ada_norm", c.num_embeds_ada_norm);
  visit("upcast_attention", c.upcast_attention);
  visit("norm_type", c.norm_type);
  visit("norm_elementwise_affine", c.norm_elementwise_affine);
  visit("norm_eps", c.norm_eps);
}

void check(const DiTConfig& c, const std::string& where) {
  const auto within = [&](const char* key, int value, int most) {
    ITO_USER_CHECK(value >= 1 && value <= most, where, ": ", key, " is ", value, "; expected 1 to ", most);
  };
  within("num_attention_heads", c.num_attention_heads, 1 << 10);
  within("attention_head_dim", c.attention_head_dim, kMaxHeadDim);
  within("in_channels", c.in_channels, 1 << 12);
  if (c.out_channels) within("out_channels", *c.out_channels, 1 << 12);
  within("num_layers", c.num_layers, 1 << 10);
  within("sample_size", c.sample_size, 1 << 14);
  within("patch_size", c.patch_size, 1 << 8);
  ITO_USER_CHECK(c.sample_size % c.patch_size == 0, where, ": sample_size ", c.sample_size,
                 " is no multiple of patch_size ", c.patch_size, "; change one of them");
  ITO_USER_CHECK(c.width() % 4 == 0, where, ": num_attention_heads ", c.num_attention_heads,
                 " times attention_head_dim ", c.attention_head_dim, " is no multiple of 4, which the positions need");
  ITO_USER_CHECK(c.dropout >= 0 && c.dropout < 1, where, ": dropout is ", c.dropout, "; expected a value in [0, 1)");
  ITO_USER_CHECK(c.norm_eps > 0 && c.norm_eps < 1, where, ": norm_eps is ", c.norm_eps,
                 "; expected a small positive value");
  ITO_USER_CHECK(c.attention_bias, where, ": attention_bias is false, which is not implemented; use true");
  ITO_USER_CHECK(c.norm_type == "ada_norm_zero", where, ": norm_type is ", quote_name(c.norm_type),
                 ", which is not implemented; use ada_norm_zero");
  ITO_USER_CHECK(c.activation_fn == "gelu-approximate" || c.activation_fn == "gelu", where, ": activation_fn is ",
                 quote_name(c.activation_fn), ", which is not implemented; use gelu-approximate, gelu");
  ITO_USER_CHECK(c.num_embeds_ada_norm, where, ": num_embeds_ada_norm is null; give the number of classes");
  within("num_embeds_ada_norm", *c.num_embeds_ada_norm, 1 << 24);
}

}  // namespace

DiTConfig dit_config_from_json(const json& object, const std::string& where, std::vector<std::string>* warnings) {
  JsonReader reader(object, where);
  DiTConfig c;
  visit_keys(c, [&](const char* key, auto& value) { reader.read(key, value); });
  check(c, where);
  if (warnings)
    if (const std::string unknown = reader.unread_names(); !unknown.empty())
      warnings->push_back(where + ": ignoring unknown keys: " + unknown);
  return c;
}

json to_json(const DiTConfig& c) {
  json object = {{"_class_name", "DiTTransformer2DModel"}, {"_diffusers_version", kDiffusersVersion}};
  visit_keys(c, [&](const char* key, const auto& value) { object[key] = json_value(value); });
  return object;
}

}  // namespace ito
