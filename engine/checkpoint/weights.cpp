// SPDX-License-Identifier: Apache-2.0
// See weights.h. A file must hold the network's tensors, each in its shape, and no others.
#include "engine/checkpoint/weights.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/checkpoint/weight_files.h"
#include "engine/io/input_file.h"
#include "engine/ranks/shared_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

// Names of 2022 for the attention's layers.
std::string legacy_name(const std::string& name) {
  static constexpr std::pair<const char*, const char*> kRenamed[] = {
      {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};
  for (const auto& [now, before] : kRenamed) {
    const size_t at = name.find(now);
    if (at != std::string::npos) return name.substr(0, at) + before + name.substr(at + std::strlen(now));
  }
  return {};
}

// Shapes agree, or differ by trailing ones (a linear layer once stored as a 1x1 convolution).
bool same_shape(std::vector<int64_t> a, std::vector<int64_t> b) {
  while (a.size() > b.size() && a.back() == 1) a.pop_back();
  while (b.size() > a.size() && b.back() == 1) b.pop_back();
  return a == b;
}

// Source: SafetensorsFile or WeightFiles.
template <class Source>
std::vector<float> read_arena_from(const Source& file, const std::string& prefix, const ParameterLayout& layout,
                                   bool trainable_only) {
  std::vector<std::pair<const Parameter*, std::string>> found;
  for (const Parameter& p : layout.all()) {
    if (trainable_only && !p.trainable) continue;
    std::string name = prefix + p.name;
    if (!file.has(name) && !legacy_name(p.name).empty()) name = prefix + legacy_name(p.name);
    ITO_USER_CHECK(file.has(name), file.path(), ": tensor ", p.name, " is missing; expected shape ",
                   shape_text(p.shape), " by the model's configuration");
    const std::vector<int64_t>& shape = file.entry(name).shape;
    ITO_USER_CHECK(same_shape(shape, p.shape), file.path(), ": tensor ", name, " has shape ", shape_text(shape),
                   "; the model's configuration asks for ", shape_text(p.shape));
    found.emplace_back(&p, name);
  }
  std::vector<float> arena(layout.arena_floats(), 0.0f);
  for (const auto& [p, name] : found) from_file_layout(*p, file.read_floats(name), arena.data());
  return arena;
}

}  // namespace

std::vector<float> read_arena(const SafetensorsFile& file, const std::string& prefix, const ParameterLayout& layout,
                              bool trainable_only) {
  return read_arena_from(file, prefix, layout, trainable_only);
}

void add_arena(SafetensorsWriter& writer, const std::string& prefix, const ParameterLayout& layout,
               const ArenaPart& part, bool trainable_only) {
  for (const Parameter& p : layout.all()) {
    if (!p.trainable && trainable_only) continue;
    if (part.holds(p))
      writer.add(prefix + p.name, p.shape, to_file_layout(p, part.values.data(), part.first));
    else
      writer.add_elsewhere(prefix + p.name, TensorType::F32, p.shape);
  }
}

IndexRange part_of_rank(const ParameterLayout& layout, int ranks, int rank) {
  std::vector<int64_t> places;
  for (const Parameter& p : layout.all()) places.push_back(p.offset);
  std::sort(places.begin(), places.end());
  // The first parameter from the rank's share of the floats on.
  const auto begin = [&](int of) {
    if (of == 0 || of == ranks) return of == 0 ? 0 : layout.arena_floats();
    const auto at =
        std::lower_bound(places.begin(), places.end(), share_of_rank(layout.arena_floats(), ranks, of).first);
    return at == places.end() ? layout.arena_floats() : *at;
  };
  return {begin(rank), begin(rank + 1) - begin(rank)};
}

std::vector<float> read_weights(const std::string& path, const ParameterLayout& layout,
                                std::initializer_list<const char*> beside) {
  const WeightFiles file = WeightFiles::open(path);
  std::vector<float> arena = read_arena_from(file, "", layout, false);
  for (const std::string& name : file.names()) {
    bool known = layout.has(name) ||
                 std::any_of(beside.begin(), beside.end(), [&](const char* begin) { return name.starts_with(begin); });
    for (const Parameter& p : layout.all())  // an old name beside the new one would be passed over
      known = known || (!name.empty() && legacy_name(p.name) == name && !file.has(p.name));
    ITO_USER_CHECK(known, path, ": tensor ", quote_name(name),
                   " is not part of the configured model; check config.json");
  }
  return arena;
}

void write_weights(const std::string& path, const ParameterLayout& layout, const std::vector<float>& arena) {
  write_weights(path, layout, ArenaPart{0, arena}, nullptr);
}

void write_weights(const std::string& path, const ParameterLayout& layout, const ArenaPart& part, Communicator* ranks) {
  SafetensorsWriter writer;
  add_arena(writer, "", layout, part, false);
  ranks ? write_together(writer, path, *ranks) : writer.write(path);
}

}  // namespace ito
