// SPDX-License-Identifier: Apache-2.0
// See unet_config.h. Defaults are those of the published class; what is not implemented is refused by name.
#include "models/unet/unet_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "engine/io/input_file.h"
#include "engine/io/json_reader.h"
#include "kernels/error.h"

namespace ito {
namespace {

using nlohmann::json;

void expect_one_of(const std::string& where, const char* key, const std::string& value,
                   const std::vector<std::string>& allowed) {
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
  std::string list;
  for (const std::string& a : allowed) list += (list.empty() ? "" : ", ") + a;
  fail<UserError>(where, ": ", key, " is ", quote_name(value), ", which is not implemented; use ", list);
}

struct NamedBlock {
  const char* name;
  UNetBlock block;
};
constexpr NamedBlock kDownBlocks[] = {{"DownBlock2D", {}},
                                      {"AttnDownBlock2D", {.attends = true}},
                                      {"ResnetDownsampleBlock2D", {.by_resnet = true}},
                                      {"SkipDownBlock2D", {.skips = true}},
                                      {"AttnSkipDownBlock2D", {.attends = true, .skips = true}}};
constexpr NamedBlock kUpBlocks[] = {{"UpBlock2D", {}},
                                    {"AttnUpBlock2D", {.attends = true}},
                                    {"ResnetUpsampleBlock2D", {.by_resnet = true}},
                                    {"SkipUpBlock2D", {.skips = true}},
                                    {"AttnSkipUpBlock2D", {.attends = true, .skips = true}}};

// Files of 2022 put UNetRes before the names.
std::string_view bare_name(std::string_view name) {
  constexpr std::string_view kPrefix = "UNetRes";
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

UNetBlock block_named(std::span<const NamedBlock> blocks, const std::string& name, const std::string& resampling) {
  UNetBlock block;
  for (const NamedBlock& b : blocks)
    if (b.name == bare_name(name)) block = b.block;
  if (block.attends && !block.skips) block.by_resnet = resampling == "resnet";
  return block;
}

void check_names(const std::string& where, const char* key, std::span<const NamedBlock> blocks,
                 const std::vector<std::string>& names) {
  std::vector<std::string> allowed;
  for (const NamedBlock& b : blocks) allowed.push_back(b.name);
  for (const std::string& name : names)
    if (std::find(allowed.begin(), allowed.end(), bare_name(name)) == allowed.end())
      expect_one_of(where, key, name, allowed);
}

// Its norms have 32 groups, but those away from attention none of fewer than 4 channels.
void check_skip_groups(const std::string& where, const std::string& name, const UNetBlock& block, int channels) {
  if (!block.skips) return;
  const int groups = block.attends ? 32 : std::min(channels / 4, 32);
  ITO_USER_CHECK(groups > 0 && channels % groups == 0, where, ": block_out_channels holds ", channels,
                 ", which does not divide into the groups of ", name, "; use a multiple of 32");
}

// The image beside a path is halved and doubled by skip blocks alone and has three channels.
void check_skips(const UNetConfig& c, const std::string& where) {
  const int last = c.levels() - 1;
  bool has_plain = false, image_down = false, image_up = false;
  for (int i = 0; i <= last; ++i) {
    const bool down = c.down_block(i).skips, up = c.up_block(i).skips;
    ITO_USER_CHECK(c.norm_num_groups || (down && up), where,
                   ": norm_num_groups is null, which skip blocks alone take; ",
                   down ? c.up_block_types[i] : c.down_block_types[i], " needs a number");
    ITO_USER_CHECK(!down || i == last || !has_plain, where, ": down_block_types has ", c.down_block_types[i],
                   " below a block that does not halve the image beside it; put skip blocks first");
    ITO_USER_CHECK(up || !image_up, where, ": up_block_types has ", c.up_block_types[i],
                   " above a skip block, and does not double the image beside it; put skip blocks last");
    check_skip_groups(where, c.down_block_types[i], c.down_block(i), c.block_out_channels[i]);
    check_skip_groups(where, c.up_block_types[i], c.up_block(i), c.block_out_channels[last - i]);
    has_plain = has_plain || !down;
    image_down = image_down || (down && i < last);
    image_up = image_up || (up && i < last);
  }
  ITO_USER_CHECK(!image_down || c.in_channels == 3, where, ": in_channels is ", c.in_channels,
                 "; skip blocks take images of 3 channels");
  ITO_USER_CHECK(!image_up || c.out_channels == 3, where, ": out_channels is ", c.out_channels,
                 "; skip blocks make images of 3 channels");
}

void check(const UNetConfig& c, const std::string& where) {
  const size_t levels = c.block_out_channels.size();
  ITO_USER_CHECK(levels >= 1 && levels <= 16, where, ": block_out_channels has ", levels, " levels; expected 1 to 16");
  ITO_USER_CHECK(c.down_block_types.size() == levels && c.up_block_types.size() == levels, where, ": ",
                 c.down_block_types.size(), " down_block_types and ", c.up_block_types.size(), " up_block_types for ",
                 levels, " block_out_channels; give as many of each");
  check_names(where, "down_block_types", kDownBlocks, c.down_block_types);
  check_names(where, "up_block_types", kUpBlocks, c.up_block_types);
  if (c.mid_block_type) expect_one_of(where, "mid_block_type", *c.mid_block_type, {"UNetMidBlock2D"});
  expect_one_of(where, "act_fn", c.act_fn, {"silu", "swish"});
  expect_one_of(where, "time_embedding_type", c.time_embedding_type, {"positional", "fourier", "learned"});
  expect_one_of(where, "downsample_type", c.downsample_type, {"conv", "resnet"});
  expect_one_of(where, "upsample_type", c.upsample_type, {"conv", "resnet"});
  expect_one_of(where, "resnet_time_scale_shift", c.resnet_time_scale_shift, {"default", "scale_shift"});
  if (c.class_embed_type) expect_one_of(where, "class_embed_type", *c.class_embed_type, {"timestep", "identity"});
  const auto positive = [&](const char* key, int value, int most) {
    ITO_USER_CHECK(value >= 1 && value <= most, where, ": ", key, " is ", value, "; expected 1 to ", most);
  };
  for (int channels : c.block_out_channels) positive("block_out_channels", channels, 1 << 16);
  positive("in_channels", c.in_channels, 1 << 12);
  positive("out_channels", c.out_channels, 1 << 12);
  positive("layers_per_block", c.layers_per_block, 64);
  if (c.norm_num_groups) positive("norm_num_groups", *c.norm_num_groups, 1 << 16);
  if (c.attn_norm_num_groups) positive("attn_norm_num_groups", *c.attn_norm_num_groups, 1 << 16);
  if (c.attention_head_dim) positive("attention_head_dim", *c.attention_head_dim, 1 << 12);
  if (c.time_embedding_dim) positive("time_embedding_dim", *c.time_embedding_dim, 1 << 16);
  if (c.norm_num_groups)
    for (int channels : c.block_out_channels)
      ITO_USER_CHECK(channels % *c.norm_num_groups == 0, where, ": block_out_channels holds ", channels,
                     ", which does not divide into norm_num_groups ", *c.norm_num_groups, "; change one of them");
  if (c.attn_norm_num_groups)
    ITO_USER_CHECK(c.block_out_channels.back() % *c.attn_norm_num_groups == 0, where, ": block_out_channels ends in ",
                   c.block_out_channels.back(), ", which does not divide into attn_norm_num_groups ",
                   *c.attn_norm_num_groups, "; change one of them");
  check_skips(c, where);
  if (c.num_class_embeds) positive("num_class_embeds", *c.num_class_embeds, 1 << 24);
  if (c.sample_size)
    for (int extent : *c.sample_size) positive("sample_size", extent, 1 << 14);
  ITO_USER_CHECK(c.downsample_padding == 0 || c.downsample_padding == 1, where, ": downsample_padding is ",
                 c.downsample_padding, "; expected 0 or 1");
  ITO_USER_CHECK(c.dropout >= 0 && c.dropout < 1, where, ": dropout is ", c.dropout, "; expected a value in [0, 1)");
  ITO_USER_CHECK(c.norm_eps > 0 && c.norm_eps < 1, where, ": norm_eps is ", c.norm_eps,
                 "; expected a small positive value");
  ITO_USER_CHECK(c.mid_block_scale_factor > 0, where, ": mid_block_scale_factor is ", c.mid_block_scale_factor,
                 "; expected a positive value");
  if (c.time_embedding_type == "learned") {
    ITO_USER_CHECK(c.num_train_timesteps, where, ": time_embedding_type learned needs num_train_timesteps");
    positive("num_train_timesteps", *c.num_train_timesteps, 1 << 20);
  }
  constexpr double kMostShift = 1 << 16;
  ITO_USER_CHECK(std::fabs(c.freq_shift) <= kMostShift, where, ": freq_shift is ", c.freq_shift,
                 "; expected a number between -65536 and 65536");
  if (c.time_embedding_type == "positional")
    ITO_USER_CHECK(c.block_out_channels[0] / 2 > c.freq_shift, where, ": freq_shift ", c.freq_shift,
                   " leaves no frequencies for block_out_channels[0] = ", c.block_out_channels[0]);
}

// Files of 2022 stored attention_head_dim only when it differed from a default that later changed.
bool written_in_2022(const json& object) {
  const auto it = object.find("_diffusers_version");
  if (it == object.end() || !it->is_string()) return false;
  int major = 0, minor = 0;
  return std::sscanf(it->get<std::string>().c_str(), "%d.%d", &major, &minor) == 2 && major == 0 && minor < 12;
}

}  // namespace

UNetBlock UNetConfig::down_block(int i) const {
  return block_named(kDownBlocks, down_block_types[i], downsample_type);
}

UNetBlock UNetConfig::up_block(int i) const {
  return block_named(kUpBlocks, up_block_types[i], upsample_type);
}

UNetConfig unet_config_from_json(const json& object, const std::string& where, std::vector<std::string>* warnings) {
  JsonReader reader(object, where);
  UNetConfig c;
  reader.read("sample_size", c.sample_size);
  reader.read("in_channels", c.in_channels);
  reader.read("out_channels", c.out_channels);
  reader.read("center_input_sample", c.center_input_sample);
  reader.read("time_embedding_type", c.time_embedding_type);
  reader.read("time_embedding_dim", c.time_embedding_dim);
  reader.read("freq_shift", c.freq_shift);
  reader.read("flip_sin_to_cos", c.flip_sin_to_cos);
  reader.read("down_block_types", c.down_block_types);
  reader.read("mid_block_type", c.mid_block_type);
  reader.read("up_block_types", c.up_block_types);
  reader.read("block_out_channels", c.block_out_channels);
  reader.read("layers_per_block", c.layers_per_block);
  reader.read("mid_block_scale_factor", c.mid_block_scale_factor);
  reader.read("downsample_padding", c.downsample_padding);
  reader.read("downsample_type", c.downsample_type);
  reader.read("upsample_type", c.upsample_type);
  reader.read("dropout", c.dropout);
  reader.read("act_fn", c.act_fn);
  reader.read("attention_head_dim", c.attention_head_dim);
  reader.read("norm_num_groups", c.norm_num_groups);
  reader.read("attn_norm_num_groups", c.attn_norm_num_groups);
  reader.read("norm_eps", c.norm_eps);
  reader.read("resnet_time_scale_shift", c.resnet_time_scale_shift);
  reader.read("add_attention", c.add_attention);
  reader.read("class_embed_type", c.class_embed_type);
  reader.read("num_class_embeds", c.num_class_embeds);
  reader.read("num_train_timesteps", c.num_train_timesteps);
  check(c, where);
  if (warnings) {
    if (const std::string unknown = reader.unread_names(); !unknown.empty())
      warnings->push_back(where + ": ignoring unknown keys: " + unknown);
    if (!reader.has("attention_head_dim") && written_in_2022(object))
      warnings->push_back(where +
                          ": no attention_head_dim, so heads are 8 wide; models of 2022 were trained with one "
                          "head: set it to null if samples look wrong");
  }
  return c;
}

json to_json(const UNetConfig& c) {
  json sample_size = nullptr;
  if (c.sample_size) {
    if ((*c.sample_size)[0] == (*c.sample_size)[1])
      sample_size = (*c.sample_size)[0];
    else
      sample_size = *c.sample_size;
  }
  return {{"_class_name", "UNet2DModel"},
          {"_diffusers_version", kDiffusersVersion},
          {"sample_size", sample_size},
          {"in_channels", c.in_channels},
          {"out_channels", c.out_channels},
          {"center_input_sample", c.center_input_sample},
          {"time_embedding_type", c.time_embedding_type},
          {"time_embedding_dim", json_value(c.time_embedding_dim)},
          {"freq_shift",
           c.freq_shift == static_cast<int>(c.freq_shift) ? json(static_cast<int>(c.freq_shift)) : json(c.freq_shift)},
          {"flip_sin_to_cos", c.flip_sin_to_cos},
          {"down_block_types", c.down_block_types},
          {"mid_block_type", json_value(c.mid_block_type)},
          {"up_block_types", c.up_block_types},
          {"block_out_channels", c.block_out_channels},
          {"layers_per_block", c.layers_per_block},
          {"mid_block_scale_factor", c.mid_block_scale_factor},
          {"downsample_padding", c.downsample_padding},
          {"downsample_type", c.downsample_type},
          {"upsample_type", c.upsample_type},
          {"dropout", c.dropout},
          {"act_fn", c.act_fn},
          {"attention_head_dim", json_value(c.attention_head_dim)},
          {"norm_num_groups", json_value(c.norm_num_groups)},
          {"attn_norm_num_groups", json_value(c.attn_norm_num_groups)},
          {"norm_eps", c.norm_eps},
          {"resnet_time_scale_shift", c.resnet_time_scale_shift},
          {"add_attention", c.add_attention},
          {"class_embed_type", json_value(c.class_embed_type)},
          {"num_class_embeds", json_value(c.num_class_embeds)},
          {"num_train_timesteps", json_value(c.num_train_timesteps)}};
}

}  // namespace ito
