// SPDX-License-Identifier: Apache-2.0
// A network's weights as a safetensors file, under diffusers' names.
#pragma once
#include <string>
#include <vector>

#include "engine/io/safetensors.h"
#include "engine/program/parameters.h"

namespace ito {

// The whole arena from a safetensors file or the index of shards; names before the attention refactor (query, key,
// value, proj_attn) are accepted. Missing tensors and wrong shapes are refused; surplus ones too, by name, and tensors
// of whole numbers.
std::vector<float> read_weights(const std::string& path, const ParameterLayout& layout);
void write_weights(const std::string& path, const ParameterLayout& layout, const std::vector<float>& arena);

// One arena of a file that may hold several, its tensors under prefix + name. Every shape is compared before anything
// is allocated: a configuration may ask for more than there is memory.
std::vector<float> read_arena(const SafetensorsFile& file, const std::string& prefix, const ParameterLayout& layout,
                              bool trainable_only);
void add_arena(SafetensorsWriter& writer, const std::string& prefix, const ParameterLayout& layout,
               const std::vector<float>& arena, bool trainable_only);

}  // namespace ito
