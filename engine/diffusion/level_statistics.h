// SPDX-License-Identifier: Apache-2.0
// What was measured of a network by timestep, and kept beside its weights in level_statistics.json: the reverse options
// (options/option.h) take their variances and mixing from it. Training keeps a running mean of the last hundred or so
// images of each timestep, of the weights as they were; `ito reverse-stats` measures held-out images, of the averaged
// weights.
#pragma once
#include <string>
#include <vector>

#include "engine/io/json_file.h"

namespace ito {

struct LevelStatistics {
  // By timestep: how many images stand behind a number (a decayed count in training), and their sums of the mean over
  // the image's numbers of
  std::vector<double> images;
  std::vector<double> error;        // (target - answer)^2
  std::vector<double> mix_product;  // (m - D)(x_t - D), m the posterior's mean given x0 and D the x0 estimate; or empty
  std::vector<double> mix_square;   // (x_t - D)^2; or empty

  int timesteps() const { return static_cast<int>(images.size()); }
  // The mean error at a timestep, between the nearest ones that were measured on a line. UserError, beginning with
  // `who`, where none was.
  double error_at(int timestep, const std::string& who) const;
  // The A of A x_t + (1 - A) D that is nearest to x_{t-1}; UserError where it was not measured.
  double mix_at(int timestep, const std::string& who) const;
};

Json json_of(const LevelStatistics& statistics);
// UserError, naming the file, for what is no such object or not of `timesteps`.
LevelStatistics read_level_statistics(const std::string& path, int timesteps);

}  // namespace ito
