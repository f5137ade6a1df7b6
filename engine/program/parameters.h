// SPDX-License-Identifier: Apache-2.0
// A network's parameters: names as in diffusers' files, places in the flat arenas, initial values.
// Arenas (weights, gradients, moments, EMA) share one layout: trainable tensors in name order, each starting at a
// multiple of 16 floats, then the frozen ones. Filters are K R S C in memory and O I H W in files.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace ito {

enum class ParameterKind : uint8_t {
  Convolution,  // file (K, C, R, S), memory (K, R, S, C)
  Linear,       // (K, C)
  Vector,       // bias, norm
  Table,        // embedding (rows, D)
};

enum class Initial : uint8_t {
  Uniform,  // +-1/sqrt(fan_in): PyTorch's default of convolutions, linears and their biases
  Xavier,   // +-sqrt(6 / (fan_in + shape[0])): of a matrix of rows by fan_in (Glorot and Bengio 2010, eq. 16)
  Ones,
  Zeros,
  Normal,  // standard deviation `scale`
};

struct Parameter {
  std::string name;
  ParameterKind kind = ParameterKind::Vector;
  std::vector<int64_t> shape;  // as in files
  Initial initial = Initial::Zeros;
  int64_t fan_in = 1;
  float scale = 1.0f;
  bool trainable = true;
  int64_t offset = -1;  // in floats, in every arena; set by the layout

  int64_t count() const;
};

class ParameterLayout {
 public:
  ParameterLayout() = default;
  explicit ParameterLayout(std::vector<Parameter> parameters);  // any order; throws on a repeated name

  const std::vector<Parameter>& all() const { return parameters_; }  // in name order
  const Parameter& find(const std::string& name) const;              // throws when absent
  bool has(const std::string& name) const;
  int64_t arena_floats() const { return arena_floats_; }          // padding and frozen ones included
  int64_t trainable_floats() const { return trainable_floats_; }  // the prefix the optimiser walks, padding included
  int64_t count() const;                                          // numbers in all tensors
  bool operator==(const ParameterLayout& other) const;

 private:
  std::vector<Parameter> parameters_;
  int64_t arena_floats_ = 0, trainable_floats_ = 0;
};

// The whole arena's initial values, drawn from the counter by (index in name order, element in file order).
std::vector<float> initial_weights(const ParameterLayout& layout, uint64_t seed);

// One tensor between an arena on the host and its file layout.
// A process's part of an arena, for files that several write: whole parameters one after another.
struct ArenaPart {
  int64_t first = 0;
  std::vector<float> values;
  bool holds(const Parameter& p) const {
    return p.offset >= first && p.offset + p.count() <= first + static_cast<int64_t>(values.size());
  }
};

// arena: from its float `first` on.
std::vector<float> to_file_layout(const Parameter& parameter, const float* arena, int64_t first = 0);
void from_file_layout(const Parameter& parameter, const std::vector<float>& values, float* arena);

}  // namespace ito
