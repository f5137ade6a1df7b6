// SPDX-License-Identifier: Apache-2.0
// See level_statistics.h.
#include "engine/diffusion/level_statistics.h"

#include <cmath>

#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char* kAdvice = "; measure it with reverse-stats";

// The ratio of two sums at a timestep, or on the line between those of the nearest timesteps that have one.
double between_measured(const std::vector<double>& sums, const std::vector<double>& counts, int timestep,
                        const std::string& who, const char* what) {
  const int count = static_cast<int>(counts.size());
  ITO_USER_CHECK(sums.size() == counts.size() && timestep < count, who, ": needs ", what,
                 " of every timestep, which the model does not hold", kAdvice);
  int below = timestep, above = timestep;
  while (below >= 0 && counts[below] <= 0) --below;
  while (above < count && counts[above] <= 0) ++above;
  ITO_USER_CHECK(below >= 0 || above < count, who, ": needs ", what, ", and no timestep was measured", kAdvice);
  if (below < 0) below = above;
  if (above == count) above = below;
  const double low = sums[below] / counts[below], high = sums[above] / counts[above];
  return above == below ? low : low + (high - low) * (timestep - below) / (above - below);
}

std::vector<double> read_numbers(const Json& json, const char* key, const std::string& path, int timesteps) {
  const auto found = json.find(key);
  ITO_USER_CHECK(found != json.end() && found->is_array() && found->size() == static_cast<size_t>(timesteps), path,
                 ": ", key, " is no list of ", timesteps, " numbers, one a timestep of the schedule");
  std::vector<double> numbers;
  for (const Json& value : *found) {
    ITO_USER_CHECK(value.is_number() && std::isfinite(value.get<double>()), path, ": ", key, " holds ",
                   printable(value.dump(), 40), "; expected finite numbers");
    numbers.push_back(value.get<double>());
  }
  return numbers;
}

}  // namespace

double LevelStatistics::error_at(int timestep, const std::string& who) const {
  return between_measured(error, images, timestep, who, "the network's mean squared error");
}

double LevelStatistics::mix_at(int timestep, const std::string& who) const {
  return between_measured(mix_product, mix_square, timestep, who, "the least-squares mixing");
}

Json json_of(const LevelStatistics& statistics) {
  Json json = {{"images", statistics.images}, {"error", statistics.error}};
  if (!statistics.mix_square.empty()) {
    json["mix_product"] = statistics.mix_product;
    json["mix_square"] = statistics.mix_square;
  }
  return json;
}

LevelStatistics read_level_statistics(const std::string& path, int timesteps) {
  const Json json = read_json_file(path);
  ITO_USER_CHECK(json.is_object(), path, ": is no object; expected what training and ito reverse-stats write");
  LevelStatistics statistics;
  statistics.images = read_numbers(json, "images", path, timesteps);
  statistics.error = read_numbers(json, "error", path, timesteps);
  for (int t = 0; t < timesteps; ++t)
    ITO_USER_CHECK(statistics.images[t] >= 0 && statistics.error[t] >= 0, path, ": timestep ", t,
                   " has a count or a squared error below 0");
  if (json.contains("mix_square")) {
    statistics.mix_product = read_numbers(json, "mix_product", path, timesteps);
    statistics.mix_square = read_numbers(json, "mix_square", path, timesteps);
  }
  return statistics;
}

}  // namespace ito
