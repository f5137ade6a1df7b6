// SPDX-License-Identifier: Apache-2.0
// What the reverse options need to know of a network, measured on images that it was not trained on: by timestep its
// mean squared error and the moments of the least-squares mixing (engine/diffusion/level_statistics.h).
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/diffusion/level_statistics.h"
#include "engine/diffusion/schedule.h"
#include "engine/program/label_rows.h"
#include "engine/program/network.h"

namespace ito {

struct StatisticsSettings {
  int batch = 64;
  uint64_t seed = 0;
  int per_timestep = 16;  // noised images a timestep
  DType compute = DType::F32;
  size_t memory_limit = SIZE_MAX;  // bytes; UserError with the sum if the plan needs more
};

// images (count, H, W, C) in [-1, 1] and their labels as the network has them. Timestep t sees the images number t,
// t + T, t + 2T, ... (mod count), each with noise of its own: what is measured does not depend on the batch. weights:
// an arena in device memory. progress(images done), if given. Of all draws: per_timestep by T.
LevelStatistics measure_reverse_statistics(const Network& network, const float* weights, const NoiseSchedule& schedule,
                                           const std::vector<float>& images, const Labels& labels,
                                           const StatisticsSettings& settings,
                                           const std::function<void(int64_t)>& progress = {});

// The same in two steps, for draws that several processes share. What one draw adds to the sums of its timestep:
struct DrawMoments {
  double error, mix_product, mix_square;
};
std::vector<DrawMoments> measure_draws(const Network& network, const float* weights, const NoiseSchedule& schedule,
                                       const std::vector<float>& images, const Labels& labels,
                                       const StatisticsSettings& settings, int64_t first, int64_t count,
                                       const std::function<void(int64_t)>& progress = {});
// Of all draws, in their order.
LevelStatistics sum_of_draws(const std::vector<DrawMoments>& draws, int timesteps);

}  // namespace ito
