// SPDX-License-Identifier: Apache-2.0
// See variational_bound.h. Batches are cut from one row of (point, timestep) pairs; sums are made in that row's order.
#include "engine/likelihood/variational_bound.h"

#include <algorithm>
#include <cmath>

#include "engine/likelihood/noised_calls.h"
#include "kernels/diffusion/variational.h"
#include "kernels/error.h"

namespace ito {
namespace {

// A variance that the network chooses is the second half of its answer.
void check_outputs(const Network& network, const std::vector<VariationalRow>& rows) {
  const int channels = network.image.channels;
  const bool learned = std::any_of(rows.begin(), rows.end(), [](const VariationalRow& row) { return row.span != 0; });
  ITO_CHECK(network.out_channels == 2 * channels || (!learned && network.out_channels == channels),
            "variational bound: ", network.out_channels, " channels of an answer for ", channels, ", expected ",
            learned ? "" : "as many or ", "twice as many");
}

}  // namespace

VariationalBound measure_bound(const Network& network, const float* weights, const NoiseSchedule& schedule,
                               const std::vector<VariationalRow>& rows, const std::vector<float>& images,
                               const std::vector<int32_t>& labels, const BoundSettings& settings,
                               const std::function<void(int64_t)>& progress) {
  const auto timesteps = static_cast<int64_t>(rows.size());
  ITO_CHECK(timesteps == schedule.steps(), "variational bound: ", timesteps, " rows for ", schedule.steps(),
            " timesteps");
  check_outputs(network, rows);
  const int64_t size = network.image.size(), total = static_cast<int64_t>(images.size()) / size * timesteps;
  const int batch = static_cast<int>(std::min<int64_t>(settings.batch, std::max<int64_t>(total, 1)));
  NoisedCalls calls(
      network, schedule, images, labels,
      {.batch = batch, .seed = settings.seed, .compute = settings.compute, .memory_limit = settings.memory_limit},
      "variational bound");
  DeviceBuffer<VariationalRow> table;
  DeviceBuffer<double> terms;
  calls.buffers().add(table, rows.size(), "rows of the bound");
  calls.buffers().add(terms, static_cast<size_t>(batch), "terms of the bound");
  calls.prepare(weights);
  table.upload(calls.stream(), rows.data());
  if (progress) progress(0);

  VariationalBound bound;
  for (int64_t point = 0; point < calls.count(); ++point)
    bound.prior.push_back(prior_term(calls.levels(), images.data() + point * size, size));
  bound.between.assign(bound.prior.size(), 0);
  bound.last = bound.between;
  bound.term.assign(rows.size(), 0);
  bound.term_standard_error = bound.term;
  // Mean and sum of squares about it as they grow (Welford 1962): late terms are nearly equal for all points.
  std::vector<double> squares(rows.size(), 0);
  std::vector<double> found(static_cast<size_t>(batch));
  for (int64_t first = 0; first < total; first += batch) {
    std::vector<NoisedPair> pairs;
    for (int64_t k = first; k < std::min(total, first + batch); ++k)
      pairs.push_back({k / timesteps, static_cast<int>(k % timesteps)});
    calls.evaluate(settings.first * timesteps + first, pairs);
    variational_terms(calls.stream(), terms.data(), {}, calls.denoiser().prediction(), calls.wide(), calls.x0(),
                      calls.rows(), table.data(), calls.counter(), batch, network.image.height * network.image.width,
                      network.image.channels);
    terms.download(calls.stream(), found.data());
    for (size_t i = 0; i < pairs.size(); ++i) {
      const auto [point, timestep] = pairs[i];
      const double value = found[i];
      if (!std::isfinite(value))
        fail<Error>("variational bound: point ", settings.first + point, ": the term of timestep ", timestep, " is ",
                    value, "; are the model's weights whole, and is the precision enough for them?");
      (timestep == 0 ? bound.last : bound.between)[static_cast<size_t>(point)] += value;
      const auto at = static_cast<size_t>(timestep);
      const double off = value - bound.term[at];
      bound.term[at] += off / static_cast<double>(point + 1);
      squares[at] += off * (value - bound.term[at]);
    }
    if (progress) progress(first + static_cast<int64_t>(pairs.size()));
  }
  const auto n = static_cast<double>(calls.count());
  if (n > 1)
    for (size_t at = 0; at < rows.size(); ++at) bound.term_standard_error[at] = std::sqrt(squares[at] / (n - 1) / n);
  return bound;
}

}  // namespace ito
