// SPDX-License-Identifier: Apache-2.0
// A network's weights as a safetensors file, under diffusers' names.
#pragma once
#include <initializer_list>
#include <string>
#include <vector>

#include "engine/io/safetensors.h"
#include "engine/program/parameters.h"
#include "engine/ranks/subtrees.h"

namespace ito {

class Communicator;

// The whole arena from a safetensors file or the index of shards; names before the attention refactor (query, key,
// value, proj_attn) are accepted. Missing tensors and wrong shapes are refused; surplus ones too, by name, and tensors
// of whole numbers. beside: what names of tensors may begin with that stand in the file and are not the layout's.
std::vector<float> read_weights(const std::string& path, const ParameterLayout& layout,
                                std::initializer_list<const char*> beside = {});
void write_weights(const std::string& path, const ParameterLayout& layout, const std::vector<float>& arena);
// ranks: those that write it together, each its part; null: this process alone, which has all.
void write_weights(const std::string& path, const ParameterLayout& layout, const ArenaPart& part, Communicator* ranks);

// One arena of a file that may hold several, its tensors under prefix + name. Every shape is compared before anything
// is allocated: a configuration may ask for more than there is memory.
std::vector<float> read_arena(const SafetensorsFile& file, const std::string& prefix, const ParameterLayout& layout,
                              bool trainable_only);
// What the part does not hold is another rank's to add.
void add_arena(SafetensorsWriter& writer, const std::string& prefix, const ParameterLayout& layout,
               const ArenaPart& part, bool trainable_only);

// Where a rank's part of the layout's arenas stands, in floats: whole parameters, of about equal size over the ranks.
IndexRange part_of_rank(const ParameterLayout& layout, int ranks, int rank);

}  // namespace ito
