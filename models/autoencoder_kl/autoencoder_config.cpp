// SPDX-License-Identifier: Apache-2.0
// See autoencoder_config.h.
#include "models/autoencoder_kl/autoencoder_config.h"

#include <nlohmann/json.hpp>

#include "engine/io/input_file.h"
#include "engine/io/json_reader.h"
#include "kernels/error.h"
#include "kernels/seams/attention.h"

namespace ito {
namespace {

using nlohmann::json;

constexpr const char* kClass = "AutoencoderKL";
constexpr const char* kUpBlock = "UpDecoderBlock2D";

void check(const AutoencoderConfig& c, const std::string& where) {
  const auto within = [&](const char* key, int value, int most) {
    ITO_USER_CHECK(value >= 1 && value <= most, where, ": ", key, " is ", value, "; expected 1 to ", most);
  };
  within("out_channels", c.out_channels, 1 << 12);
  within("latent_channels", c.latent_channels, 1 << 12);
  within("layers_per_block", c.layers_per_block, 1 << 8);
  within("norm_num_groups", c.norm_num_groups, 1 << 14);
  ITO_USER_CHECK(!c.block_out_channels.empty() && c.block_out_channels.size() <= 10, where, ": block_out_channels has ",
                 c.block_out_channels.size(), " numbers; expected 1 to 10");
  ITO_USER_CHECK(c.up_block_types.size() == c.block_out_channels.size(), where, ": up_block_types has ",
                 c.up_block_types.size(), " names for the ", c.block_out_channels.size(),
                 " numbers of block_out_channels");
  for (const std::string& type : c.up_block_types)
    ITO_USER_CHECK(type == kUpBlock, where, ": up_block_types has ", quote_name(type),
                   ", which is not implemented; use ", kUpBlock);
  for (const int channels : c.block_out_channels) {
    within("block_out_channels", channels, 1 << 14);
    ITO_USER_CHECK(channels % c.norm_num_groups == 0, where, ": block_out_channels has ", channels,
                   ", which norm_num_groups ", c.norm_num_groups, " does not divide");
  }
  ITO_USER_CHECK(!c.mid_block_add_attention || c.block_out_channels.back() <= kMaxHeadDim, where,
                 ": its attention has one head of ", c.block_out_channels.back(), " channels; at most ", kMaxHeadDim,
                 " are implemented");
  ITO_USER_CHECK(c.act_fn == "silu", where, ": act_fn is ", quote_name(c.act_fn),
                 ", which is not implemented; use silu");
  ITO_USER_CHECK(c.scaling_factor > 0, where, ": scaling_factor is ", c.scaling_factor, "; expected more than 0");
}

}  // namespace

AutoencoderConfig autoencoder_config_from_json(const json& object, const std::string& where,
                                               std::vector<std::string>* warnings) {
  ITO_USER_CHECK(object.is_object(), where, ": found ", object.type_name(), ", expected a JSON object of settings");
  const json name = object.value("_class_name", json());
  ITO_USER_CHECK(name == kClass, where, ": _class_name is ", printable(name.dump(), 60), "; expected ", kClass);
  JsonReader reader(object, where);
  AutoencoderConfig c;
  reader.read("out_channels", c.out_channels);
  reader.read("latent_channels", c.latent_channels);
  reader.read("up_block_types", c.up_block_types);
  reader.read("block_out_channels", c.block_out_channels);
  reader.read("layers_per_block", c.layers_per_block);
  reader.read("act_fn", c.act_fn);
  reader.read("norm_num_groups", c.norm_num_groups);
  reader.read("use_post_quant_conv", c.use_post_quant_conv);
  reader.read("mid_block_add_attention", c.mid_block_add_attention);
  reader.read("scaling_factor", c.scaling_factor);
  reader.read("shift_factor", c.shift_factor);
  for (const char* key : {"latents_mean", "latents_std"})
    ITO_USER_CHECK(!reader.has(key) || reader.is_null(key), where, ": ", key, " is given, which is not implemented");
  // The encoder's, and what the class does about half precision, which is fp32 here in any case.
  for (const char* key : {"in_channels", "down_block_types", "sample_size", "use_quant_conv", "force_upcast"})
    reader.is_null(key);
  check(c, where);
  if (warnings)
    if (const std::string unknown = reader.unread_names(); !unknown.empty())
      warnings->push_back(where + ": ignoring unknown keys: " + unknown);
  return c;
}

}  // namespace ito
