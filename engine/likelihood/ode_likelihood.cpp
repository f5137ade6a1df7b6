// SPDX-License-Identifier: Apache-2.0
// See ode_likelihood.h. A backward pass uses up what its forward pass has kept, so every probe evaluates the network
// anew.
#include "engine/likelihood/ode_likelihood.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/program/memory_check.h"
#include "engine/reverse/adaptive_process.h"

namespace ito {
namespace {

constexpr int64_t kMostCaptured = 64;

Denoiser planned(const Network& network, const ProbabilityFlow& flow, const LikelihoodSettings& s) {
  ITO_USER_CHECK(s.batch >= 1, "likelihood: a batch of ", s.batch, " points; expected at least 1");
  ITO_USER_CHECK(s.trace == Trace::Exact || (s.probes >= 1 && s.probes < 1 << 24), "likelihood: ", s.probes,
                 " probes; expected 1 or more");
  check_flow_network(network, flow, "likelihood");
  // Without times: the solver chooses each image's steps as it goes, so that none is known before the call.
  return Denoiser(network, s.batch, DType::F32, Denoiser::Gradient::Input);
}

AdaptiveSettings solver_settings(const ProbabilityFlow& flow, const LikelihoodSettings& s, int64_t size) {
  AdaptiveSettings solver;
  solver.ode = {.from = flow.data, .to = flow.noise, .rtol = s.rtol, .atol = s.atol};
  // A captured try has six slopes with a pass forwards and backwards a basis vector: too many launches to keep.
  solver.capture = s.capture && !(s.trace == Trace::Exact && size > kMostCaptured);
  return solver;
}

double log_normal(const float* x, int64_t size, double std) {
  double squares = 0;
  for (int64_t i = 0; i < size; ++i) squares += static_cast<double>(x[i]) * x[i];
  return -squares / (2 * std * std) - static_cast<double>(size) * std::log(std * std::sqrt(2 * std::numbers::pi));
}

}  // namespace

OdeLikelihood::DivergingSlope::DivergingSlope(NetworkSlope& network, const LikelihoodSettings& settings,
                                              BufferList& buffers)
    : network_(network), settings_(settings) {
  buffers.add(first_, 1, "the number of a batch's first point");
}

void OdeLikelihood::DivergingSlope::launch(Stream& stream, const OdePoint& point) {
  Denoiser& denoiser = network_.denoiser();
  const ImageShape& image = denoiser.network().image;
  const bool exact = settings_.trace == Trace::Exact;
  const int vectors = exact ? static_cast<int>(image.size()) : settings_.probes;
  const SampleCounter counter = SampleCounter::of_sampling(settings_.seed, first());
  network_.launch(stream, point);
  for (int k = 0; k < vectors; ++k) {
    const FlowProbe probe = {.basis = exact, .number = k};
    if (k > 0) denoiser.evaluate(stream);
    set_probe(stream, denoiser.cotangent(), probe, network_.wide(), counter, point.n, static_cast<int>(image.pixels()),
              image.channels);
    denoiser.pull_back(stream);
    probe_divergence(stream, point.extra + (exact ? 0 : k), extras(), denoiser.input_gradient(), probe, network_.at(),
                     counter, point.n, point.size);
  }
}

OdeLikelihood::OdeLikelihood(const Network& network, const ProbabilityFlow& flow, const float* weights,
                             const LikelihoodSettings& settings)
    : flow_(flow),
      settings_(settings),
      denoiser_(planned(network, flow, settings)),
      network_(denoiser_, flow_, buffers_),
      slope_(network_, settings_, buffers_),
      solver_(slope_, settings.batch, network.image.size(), slope_.extras(),
              solver_settings(flow, settings, network.image.size()), buffers_) {
  check_memory("likelihood",
               {{"network", denoiser_.planned_bytes() + buffers_.bytes()},
                {"weights", sizeof(float) * denoiser_.program().layout().arena_floats()}},
               settings.memory_limit, "lower the batch or the image size");
  denoiser_.bind(weights);
  buffers_.allocate();
  solver_.prepare();
  network_.prepare(stream_);
  denoiser_.pack(stream_);
}

int64_t OdeLikelihood::thousandths_of(int64_t count) const {
  return 1000 * settings_.batch * ceil_div(count, settings_.batch);
}

// What fills up a batch is the point 0.
void OdeLikelihood::run(int64_t first, int64_t n, const float* x0, const LabelRows& labels) {
  const int64_t size = denoiser_.network().image.size(), batch = settings_.batch;
  std::vector<float> x(static_cast<size_t>(batch * size));
  for (int64_t i = 0; i < n * size; ++i) x[i] = static_cast<float>(flow_.data_alpha * x0[i]);
  copy_to_device(stream_, solver_.y(), x.data(), x.size() * sizeof(float));
  copy_to_device(stream_, slope_.first(), &first, sizeof first);
  denoiser_.put_labels(stream_, labels, n);
  solver_.run(stream_, first, static_cast<int>(n));
}

LogDensity OdeLikelihood::read(const float* x_end, const double* integrals, const OdeImage& end) const {
  const int64_t size = denoiser_.network().image.size();
  const int count = slope_.extras();
  double mean = 0, squares = 0;
  for (int k = 0; k < count; ++k) mean += integrals[k] / count;
  for (int k = 0; k < count; ++k) squares += (integrals[k] - mean) * (integrals[k] - mean);
  const double at_end =
      settings_.end_log_density ? settings_.end_log_density(x_end) : log_normal(x_end, size, flow_.noise_std);
  const auto numbers = static_cast<double>(size);
  return {.value = at_end + numbers * (mean + std::log(flow_.data_alpha)),
          .standard_error = count > 1 ? numbers * std::sqrt(squares / (count - 1) / count) : 0,
          .evaluations = end.evaluations,
          .accepted = end.accepted,
          .rejected = end.rejected};
}

std::vector<LogDensity> OdeLikelihood::all(int64_t first, int64_t count, const float* x0, const LabelRows& labels) {
  const int64_t size = denoiser_.network().image.size();
  std::vector<LogDensity> densities;
  std::vector<float> x_end(static_cast<size_t>(settings_.batch * size));
  for (int64_t begun = 0; begun < count; begun += settings_.batch) {
    const int64_t n = std::min<int64_t>(settings_.batch, count - begun);
    run(first + begun, n, x0 + begun * size, labels.from(begun, denoiser_.network().label_width));
    copy_to_host(stream_, x_end.data(), solver_.y(), x_end.size() * sizeof(float));
    const std::vector<double> integrals = solver_.extra(stream_);
    const std::vector<OdeImage> ends = solver_.images(stream_);
    for (int64_t i = 0; i < n; ++i)
      densities.push_back(read(x_end.data() + i * size, integrals.data() + i * slope_.extras(), ends[i]));
  }
  return densities;
}

}  // namespace ito
