// SPDX-License-Identifier: Apache-2.0
// See variational_bound.h. Batches are cut from one row of (point, timestep) pairs; sums are made in that row's order.
#include "engine/likelihood/variational_bound.h"

#include <algorithm>
#include <cmath>
#include <utility>

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
                               const Labels& labels, const BoundSettings& settings,
                               const std::function<void(int64_t)>& progress) {
  const int64_t size = network.image.size();
  BoundSums sums(static_cast<int64_t>(rows.size()));
  measure_terms(
      network, weights, schedule, rows, images, labels, static_cast<int64_t>(images.size()) / size, settings,
      [&](double term) { sums.add(term); }, progress);
  return std::move(sums).bound(prior_terms(schedule, images, size));
}

void measure_terms(const Network& network, const float* weights, const NoiseSchedule& schedule,
                   const std::vector<VariationalRow>& rows, const std::vector<float>& images, const Labels& labels,
                   int64_t count, const BoundSettings& settings, const std::function<void(double)>& take,
                   const std::function<void(int64_t)>& progress) {
  const auto timesteps = static_cast<int64_t>(rows.size());
  ITO_CHECK(timesteps == schedule.steps(), "variational bound: ", timesteps, " rows for ", schedule.steps(),
            " timesteps");
  check_outputs(network, rows);
  const int64_t total = count * timesteps;
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
      if (!std::isfinite(found[i]))
        fail<Error>("variational bound: point ", settings.first + pairs[i].image, ": the term of timestep ",
                    pairs[i].timestep, " is ", found[i],
                    "; are the model's weights whole, and is the precision enough for them?");
      take(found[i]);
    }
    if (progress) progress(first + static_cast<int64_t>(pairs.size()));
  }
}

BoundSums::BoundSums(int64_t timesteps) : timesteps_(timesteps), squares_(static_cast<size_t>(timesteps), 0) {
  sums_.term = sums_.term_standard_error = squares_;
}

// Mean and sum of squares about it as they grow (Welford 1962): late terms are nearly equal for all points.
void BoundSums::add(double term) {
  const int64_t point = taken_ / timesteps_;
  const auto at = static_cast<size_t>(taken_ % timesteps_);
  ++taken_;
  if (at == 0) {
    sums_.last.push_back(0);
    sums_.between.push_back(0);
  }
  (at == 0 ? sums_.last : sums_.between).back() += term;
  const double off = term - sums_.term[at];
  sums_.term[at] += off / static_cast<double>(point + 1);
  squares_[at] += off * (term - sums_.term[at]);
}

VariationalBound BoundSums::bound(std::vector<double> prior) && {
  const size_t points = sums_.last.size();
  ITO_CHECK(prior.size() == points && taken_ % timesteps_ == 0, "variational bound: ", taken_, " terms of ", timesteps_,
            " timesteps for ", prior.size(), " points");
  sums_.prior = std::move(prior);
  const auto n = static_cast<double>(points);
  if (n > 1)
    for (size_t at = 0; at < squares_.size(); ++at)
      sums_.term_standard_error[at] = std::sqrt(squares_[at] / (n - 1) / n);
  return std::move(sums_);
}

std::vector<double> prior_terms(const NoiseSchedule& schedule, const std::vector<float>& images, int64_t size) {
  const Levels levels(schedule);
  std::vector<double> prior;
  for (size_t at = 0; at < images.size(); at += static_cast<size_t>(size))
    prior.push_back(prior_term(levels, images.data() + at, size));
  return prior;
}

}  // namespace ito
