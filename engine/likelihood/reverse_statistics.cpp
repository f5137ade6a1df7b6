// SPDX-License-Identifier: Apache-2.0
// See reverse_statistics.h. The host chooses images and levels and sums; network and moments run on the device.
#include "engine/likelihood/reverse_statistics.h"

#include <algorithm>

#include "engine/likelihood/noised_calls.h"
#include "kernels/diffusion/by_level.h"

namespace ito {
namespace {

std::vector<MomentRow> moment_rows(const Levels& levels, const Reading& reading) {
  std::vector<MomentRow> rows;
  for (int timestep = 0; timestep < levels.steps(); ++timestep) {
    const Level from = levels.at(timestep), to = levels.at(timestep - 1);
    const CallAt call = reading.call(from, Space::Native);
    const Posterior q = gaussian_posterior(from.abar, to.abar);
    rows.push_back({.x0_from_x = static_cast<float>(call.x0.from_x),
                    .x0_from_pred = static_cast<float>(call.x0.from_given),
                    .mean_from_x0 = static_cast<float>(q.from_x0),
                    .mean_from_x = static_cast<float>(q.from_x)});
  }
  return rows;
}

}  // namespace

LevelStatistics measure_reverse_statistics(const Network& network, const float* weights, const NoiseSchedule& schedule,
                                           const std::vector<float>& images, const Labels& labels,
                                           const StatisticsSettings& settings,
                                           const std::function<void(int64_t)>& progress) {
  const int64_t total = int64_t{schedule.steps()} * settings.per_timestep;
  return sum_of_draws(measure_draws(network, weights, schedule, images, labels, settings, 0, total, progress),
                      schedule.steps());
}

std::vector<DrawMoments> measure_draws(const Network& network, const float* weights, const NoiseSchedule& schedule,
                                       const std::vector<float>& images, const Labels& labels,
                                       const StatisticsSettings& settings, int64_t first_draw, int64_t count,
                                       const std::function<void(int64_t)>& progress) {
  const int batch = static_cast<int>(std::min<int64_t>(settings.batch, count));
  NoisedCalls calls(
      network, schedule, images, labels,
      {.batch = batch, .seed = settings.seed, .compute = settings.compute, .memory_limit = settings.memory_limit},
      "reverse statistics");
  const std::vector<MomentRow> read = moment_rows(calls.levels(), Reading::of(schedule.config()));
  DeviceBuffer<MomentRow> reads;
  DeviceBuffer<double> moments;
  calls.buffers().add(reads, static_cast<size_t>(batch), "readings");
  calls.buffers().add(moments, 3 * static_cast<size_t>(batch), "moments");
  calls.prepare(weights);

  std::vector<DrawMoments> found;
  std::vector<MomentRow> host_reads(static_cast<size_t>(batch));
  std::vector<double> host_moments(moments.count());
  const int64_t end = first_draw + count;
  for (int64_t first = first_draw; first < end; first += batch) {
    std::vector<NoisedPair> pairs;
    for (int64_t draw = first; draw < std::min(end, first + batch); ++draw) {
      pairs.push_back({draw % calls.count(), static_cast<int>(draw % schedule.steps())});
      host_reads[static_cast<size_t>(draw - first)] = read[static_cast<size_t>(pairs.back().timestep)];
    }
    reads.upload(calls.stream(), host_reads.data());
    calls.evaluate(first, pairs);
    level_moments(calls.stream(), moments.data(), calls.denoiser().prediction(), calls.wide(), calls.x0(), calls.rows(),
                  reads.data(), calls.counter(), batch, network.image.height * network.image.width,
                  network.image.channels);
    moments.download(calls.stream(), host_moments.data());
    for (size_t i = 0; i < pairs.size(); ++i)
      found.push_back({host_moments[3 * i], host_moments[3 * i + 1], host_moments[3 * i + 2]});
    if (progress) progress(static_cast<int64_t>(found.size()));
  }
  return found;
}

LevelStatistics sum_of_draws(const std::vector<DrawMoments>& draws, int timesteps) {
  LevelStatistics statistics;
  statistics.images.assign(static_cast<size_t>(timesteps), 0);
  statistics.error = statistics.mix_product = statistics.mix_square = statistics.images;
  for (size_t draw = 0; draw < draws.size(); ++draw) {
    const size_t timestep = draw % static_cast<size_t>(timesteps);
    ++statistics.images[timestep];
    statistics.error[timestep] += draws[draw].error;
    statistics.mix_product[timestep] += draws[draw].mix_product;
    statistics.mix_square[timestep] += draws[draw].mix_square;
  }
  return statistics;
}

}  // namespace ito
