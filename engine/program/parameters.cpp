// SPDX-License-Identifier: Apache-2.0
// See parameters.h. Filters are K R S C in the arena and OIHW in files; nobody else knows that.
#include "engine/program/parameters.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "kernels/random/host_normal.h"

namespace ito {
namespace {

constexpr int64_t kAlignment = 16;  // floats: a 64-byte line

bool by_name(const Parameter& a, const Parameter& b) {
  return a.name < b.name;
}

// Index in the arena of element i of the file's layout.
int64_t arena_index(const Parameter& p, int64_t i) {
  if (p.kind != ParameterKind::Convolution) return i;
  const int64_t channels = p.shape[1], height = p.shape[2], width = p.shape[3];
  const int64_t s = i % width, r = i / width % height, c = i / (width * height) % channels;
  const int64_t k = i / (width * height * channels);
  return ((k * height + r) * width + s) * channels + c;
}

float initial_value(const Parameter& p, uint64_t seed, uint32_t index, int64_t element) {
  if (p.initial == Initial::Ones) return 1.0f;
  if (p.initial == Initial::Zeros) return 0.0f;
  const Random4 random =
      philox4x32(seed, static_cast<uint32_t>(element / 4), 0, index, purpose_word(Purpose::InitialWeights));
  const int lane = static_cast<int>(element % 4);
  if (p.initial == Initial::Uniform || p.initial == Initial::Xavier) {
    const auto fan_in = static_cast<double>(p.fan_in);
    const double bound = p.initial == Initial::Xavier ? std::sqrt(6.0 / (fan_in + static_cast<double>(p.shape.at(0))))
                                                      : 1.0 / std::sqrt(fan_in);
    return static_cast<float>((2.0 * uniform01(random.v[lane]) - 1.0) * bound);
  }
  return static_cast<float>(p.scale * host_normal(random, lane));
}

}  // namespace

int64_t Parameter::count() const {
  int64_t product = 1;
  for (int64_t extent : shape) product *= extent;
  return product;
}

ParameterLayout::ParameterLayout(std::vector<Parameter> parameters) : parameters_(std::move(parameters)) {
  std::sort(parameters_.begin(), parameters_.end(), by_name);
  for (size_t i = 1; i < parameters_.size(); ++i)
    ITO_CHECK(parameters_[i].name != parameters_[i - 1].name, "parameter ", parameters_[i].name, " declared twice");
  for (bool trainable : {true, false}) {
    for (Parameter& p : parameters_) {
      if (p.trainable != trainable) continue;
      p.offset = arena_floats_;
      arena_floats_ += (p.count() + kAlignment - 1) / kAlignment * kAlignment;
    }
    if (trainable) trainable_floats_ = arena_floats_;
  }
}

const Parameter& ParameterLayout::find(const std::string& name) const {
  const auto it = std::lower_bound(parameters_.begin(), parameters_.end(), name,
                                   [](const Parameter& p, const std::string& n) { return p.name < n; });
  ITO_CHECK(it != parameters_.end() && it->name == name, "no parameter is called ", name);
  return *it;
}

bool ParameterLayout::has(const std::string& name) const {
  return std::any_of(parameters_.begin(), parameters_.end(), [&](const Parameter& p) { return p.name == name; });
}

int64_t ParameterLayout::count() const {
  int64_t sum = 0;
  for (const Parameter& p : parameters_) sum += p.count();
  return sum;
}

bool ParameterLayout::operator==(const ParameterLayout& other) const {
  return std::equal(parameters_.begin(), parameters_.end(), other.parameters_.begin(), other.parameters_.end(),
                    [](const Parameter& a, const Parameter& b) {
                      return a.name == b.name && a.kind == b.kind && a.shape == b.shape && a.offset == b.offset;
                    });
}

std::vector<float> initial_weights(const ParameterLayout& layout, uint64_t seed) {
  std::vector<float> arena(layout.arena_floats(), 0.0f);
  uint32_t index = 0;
  for (const Parameter& p : layout.all()) {
    for (int64_t i = 0; i < p.count(); ++i) arena[p.offset + arena_index(p, i)] = initial_value(p, seed, index, i);
    ++index;
  }
  return arena;
}

std::vector<float> to_file_layout(const Parameter& parameter, const float* arena, int64_t first) {
  std::vector<float> values(parameter.count());
  const int64_t at = parameter.offset - first;
  for (int64_t i = 0; i < parameter.count(); ++i) values[i] = arena[at + arena_index(parameter, i)];
  return values;
}

void from_file_layout(const Parameter& parameter, const std::vector<float>& values, float* arena) {
  ITO_CHECK(static_cast<int64_t>(values.size()) == parameter.count(), parameter.name, ": ", values.size(),
            " values for a tensor of ", parameter.count());
  for (int64_t i = 0; i < parameter.count(); ++i) arena[parameter.offset + arena_index(parameter, i)] = values[i];
}

}  // namespace ito
