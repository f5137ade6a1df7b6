// SPDX-License-Identifier: Apache-2.0
// What `ito bench kernels` times and counts: ops at the sizes of the tests' lists of cases, then at those of larger
// models, a family of ops a file.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/program/cost.h"

namespace ito {

// An op at some sizes: appends the op to a program of n images and returns its result.
struct OpCase {
  int n;
  std::string sizes;
  std::function<Value(Program&)> append;
  Cost forward{}, backward{};  // what the program's count leaves out
};

struct BenchedOp {
  const char* name;
  std::vector<OpCase> (*cases)(int n);  // n: images of the larger ones
};

std::span<const BenchedOp> convolutional_ops();
std::span<const BenchedOp> transformer_ops();

inline Value differentiable(Program& p, const char* name, int h, int w, int c, DType type) {
  return p.input(name, h, w, c, type, true);
}

// The tests' sizes, then n images of a larger model's.
template <class T>
std::vector<T> joined(std::vector<T> cases, const std::vector<T>& more) {
  cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

}  // namespace ito
