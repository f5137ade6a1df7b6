// SPDX-License-Identifier: Apache-2.0
// The learning rate of every step, as a table made before training: warm-up, then one of three shapes.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ito {

enum class LearningRateShape : uint8_t { Constant, Linear, Cosine };

// "constant", "linear", "cosine"; UserError beginning with `where` (a file or a flag) for another.
LearningRateShape learning_rate_shape_of(std::string_view name, const std::string& where);
std::string_view name_of(LearningRateShape shape);

struct LearningRateConfig {
  double peak = 1e-4;
  LearningRateShape shape = LearningRateShape::Cosine;
  int64_t warmup_steps = 500;
  int64_t steps = 0;  // N
};

// At step s = 0..N-1, with W warm-up steps and u = (s - W) / max(1, N - W):
//   s < W: peak s / W (so the very first step changes nothing);  then
//   constant: peak;  linear: peak (1 - u);  cosine: peak (1 + cos(pi u)) / 2.
double learning_rate_at(const LearningRateConfig& config, int64_t step);
std::vector<float> learning_rate_table(const LearningRateConfig& config);  // (N)

}  // namespace ito
