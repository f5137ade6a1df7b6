// SPDX-License-Identifier: Apache-2.0
// See reverse_statistics.h. The host chooses images and levels; noising, network and moments run on the device.
#include "engine/likelihood/reverse_statistics.h"

#include <algorithm>

#include "engine/diffusion/forward_rows.h"
#include "engine/program/buffer_list.h"
#include "engine/program/denoiser.h"
#include "engine/program/memory_check.h"
#include "kernels/diffusion/by_level.h"
#include "kernels/diffusion/noising.h"

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
                                           const std::vector<float>& images, const std::vector<int32_t>& labels,
                                           const StatisticsSettings& settings,
                                           const std::function<void(int64_t)>& progress) {
  const Reading reading = Reading::of(schedule.config());
  ITO_USER_CHECK(schedule.config().family == Family::Vp, "reverse statistics: a ", name_of(schedule.config().family),
                 " model has no chain of timesteps; they are for models of tabled betas");
  const int64_t size = network.image.size(), count = static_cast<int64_t>(images.size()) / size;
  ITO_CHECK(count > 0, "reverse statistics of no images");
  ITO_USER_CHECK(network.labels != LabelKind::Value,
                 "reverse statistics of a network with real-valued class labels are not implemented");
  const int timesteps = schedule.steps();
  const int64_t total = int64_t{timesteps} * settings.per_timestep;
  const int batch = static_cast<int>(std::min<int64_t>(settings.batch, total));
  const Levels levels(schedule);
  const std::vector<ForwardRow> forward = forward_rows(levels, reading);
  const std::vector<MomentRow> read = moment_rows(levels, reading);

  Stream stream("statistics");
  Denoiser denoiser(network, batch, settings.compute);
  BufferList buffers;
  DeviceBuffer<float> x0;
  DeviceBuffer<ForwardRow> rows;
  DeviceBuffer<MomentRow> reads;
  DeviceBuffer<double> moments;
  buffers.add(x0, static_cast<size_t>(batch * size), "images");
  buffers.add(rows, batch, "levels");
  buffers.add(reads, batch, "readings");
  buffers.add(moments, 3 * static_cast<size_t>(batch), "moments");
  check_memory("measuring", {{"network", denoiser.planned_bytes()}, {"images", buffers.bytes()}}, settings.memory_limit,
               "lower the batch");
  buffers.allocate();
  denoiser.bind(weights);
  denoiser.pack(stream);

  LevelStatistics statistics;
  statistics.images.assign(timesteps, 0);
  statistics.error = statistics.mix_product = statistics.mix_square = statistics.images;
  std::vector<float> host_x0(x0.count());
  std::vector<ForwardRow> host_rows(batch);
  std::vector<MomentRow> host_reads(batch);
  std::vector<float> host_levels;
  if (network.asks_level) host_levels.resize(static_cast<size_t>(kLevelWidth) * batch);
  std::vector<int32_t> classes(batch);
  std::vector<double> host_moments(moments.count());
  for (int64_t first = 0; first < total; first += batch) {
    // A short last batch is filled up with draws that are not counted.
    for (int i = 0; i < batch; ++i) {
      const int64_t draw = first + i, image = draw % count, timestep = draw % timesteps;
      std::copy_n(images.begin() + image * size, size, host_x0.begin() + i * size);
      host_rows[i] = forward[timestep];
      host_reads[i] = read[timestep];
      if (!labels.empty()) classes[i] = labels[image];
      if (network.asks_level) {
        const Level level = levels.at(static_cast<double>(timestep));
        host_levels[static_cast<size_t>(kLevelWidth) * i] = static_cast<float>(level.alpha);
        host_levels[static_cast<size_t>(kLevelWidth) * i + 1] = static_cast<float>(level.sigma);
      }
    }
    x0.upload(stream, host_x0.data());
    rows.upload(stream, host_rows.data());
    reads.upload(stream, host_reads.data());
    if (network.labels == LabelKind::Index)
      copy_to_device(stream, denoiser.labels().data, classes.data(), batch * sizeof(int32_t));
    if (network.asks_level)
      copy_to_device(stream, denoiser.level(), host_levels.data(), host_levels.size() * sizeof(float));
    SampleCounter counter;
    counter.seed = settings.seed;
    counter.first = first;
    add_noise(stream, denoiser.sample(), denoiser.timestep(), x0.data(), rows.data(), counter, batch, size);
    denoiser.evaluate(stream);
    level_moments(stream, moments.data(), denoiser.prediction(), network.out_channels != network.image.channels,
                  x0.data(), rows.data(), reads.data(), counter, batch, network.image.height * network.image.width,
                  network.image.channels);
    moments.download(stream, host_moments.data());
    const int64_t counted = std::min<int64_t>(batch, total - first);
    for (int64_t i = 0; i < counted; ++i) {
      const int64_t timestep = (first + i) % timesteps;
      ++statistics.images[timestep];
      statistics.error[timestep] += host_moments[3 * i];
      statistics.mix_product[timestep] += host_moments[3 * i + 1];
      statistics.mix_square[timestep] += host_moments[3 * i + 2];
    }
    if (progress) progress(first + counted);
  }
  return statistics;
}

}  // namespace ito
