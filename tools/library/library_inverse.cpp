// SPDX-License-Identifier: Apache-2.0
// Measuring, restoring and judging with a model of the library (library_model.h).
#include <algorithm>
#include <cmath>

#include "engine/inverse/host_operator.h"
#include "engine/inverse/restoration.h"
#include "engine/likelihood/ode_likelihood.h"
#include "engine/program/memory_check.h"
#include "kernels/seams/memory_limit.h"
#include "models/model_checks.h"
#include "models/model_flow.h"
#include "tools/library/library_model.h"

namespace ito {
namespace {

constexpr int64_t kMostImages = 1 << 24;
constexpr double kMostNoise = 20;  // of images in [-1, 1]
constexpr int kMostProbes = 1 << 10;
constexpr int64_t kMostExact = 4096;  // numbers an image, each a pull-back an evaluation

void check_count(int64_t count) {
  ITO_USER_CHECK(count >= 1 && count <= kMostImages, "count ", count, ": expected 1 to ", kMostImages);
}

}  // namespace

int64_t LibraryModel::measurements(const std::string& op) const {
  return measurement_operator(op, network().image)->measurements();
}

void LibraryModel::measure(const std::string& op, int64_t count, const float* x, float* y) const {
  check_count(count);
  HostOperator on_host(op, network().image);
  put_planar(on_host.apply(interleaved_of(x, count, network().image)), count, on_host.op().measured(), y);
}

void LibraryModel::restore(const RestoreCall& call, OptionList options) {
  check_count(call.count);
  ITO_USER_CHECK(call.first >= 0 && call.first <= kMostMeasurements - call.count, "first ", call.first,
                 ": expected 0 to ", kMostMeasurements, " less count");
  ITO_USER_CHECK(call.draws >= 1 && call.draws <= kMostDraws, "draws ", call.draws, ": expected 1 to ", kMostDraws);
  ITO_USER_CHECK(call.noise >= 0 && call.noise <= kMostNoise, "noise ", call.noise, ": expected 0 to ", kMostNoise);
  check_labels(call.labels, call.count);
  const Solver& solver = solver_named(call.solver);
  SolverSettings settings;
  settings.steps = static_cast<int>(options.whole("steps", 0, 0, 1 << 16));
  settings.clip_sample = options.on_off("clip_denoised");
  settings.set = options.rest();
  const std::unique_ptr<MeasurementOperator> op = measurement_operator(call.op, network().image);
  RestorePlan plan = restore_plan(solver, *schedule_, settings, *op, call.noise);
  check_timesteps(model_, plan.table, "use another solver or steps",
                  "use another solver, or steps that divide the model's timesteps");
  const int64_t m = op->measurements(), size = network().image.size();
  const std::vector<float> y = interleaved_of(call.y, call.count, op->measured());
  for (size_t i = 0; i < y.size(); ++i)
    ITO_USER_CHECK(std::isfinite(y[i]), "y: measurement ", static_cast<int64_t>(i) / m, " holds ", y[i],
                   "; expected finite numbers");
  RestoreSettings how;
  how.draws = call.draws;
  how.batch = batch_of(call.count * call.draws);
  how.seed = call.seed;
  how.compute = compute_;
  how.memory_limit = device_memory_limit();
  const auto at_once = static_cast<size_t>(std::max(batch_, call.draws)) + 2;  // images of a group, twice
  if (device_memory_is_the_hosts())
    how.kept_bytes = saturated_product({2, at_once, static_cast<size_t>(size), sizeof(float)});
  Restoration restoration(network(), model_.weights.data(), *op, std::move(plan), how);
  for (int64_t at = 0; at < call.count; at += restoration.group()) {
    const int64_t n = std::min<int64_t>(restoration.group(), call.count - at);
    const Restored restored =
        restoration.restore(call.first + at, n, y.data() + at * m, LabelRows(call.labels).from(at, 1));
    const ImageShape& image = network().image;
    if (call.samples) put_planar(restored.samples, n * call.draws, image, call.samples + at * call.draws * size);
    if (call.mean) put_planar(restored.mean, n, image, call.mean + at * size);
    if (call.deviation) put_planar(restored.deviation, n, image, call.deviation + at * size);
  }
}

void LibraryModel::log_likelihood(OptionList options, int64_t first, int64_t count, const float* x,
                                  const int32_t* labels, double* nats) {
  check_count(count);
  ITO_USER_CHECK(first >= 0 && first <= (int64_t{1} << 32) - count, "first ", first, ": expected 0 to 2^32 less count");
  check_labels(labels, count);
  const std::string trace = options.text("trace", "hutchinson");
  ITO_USER_CHECK(trace == "hutchinson" || trace == "exact", "trace ", trace, ": expected hutchinson or exact");
  LikelihoodSettings settings;
  settings.trace = trace == "exact" ? Trace::Exact : Trace::Hutchinson;
  settings.probes = static_cast<int>(options.whole("probes", 1, 1, kMostProbes));
  settings.rtol = options.number("rtol", 1e-5, 1e-7, 1);
  settings.atol = options.number("atol", 1e-5, 1e-9, 1);
  settings.seed = static_cast<uint64_t>(options.whole("seed", 0, 0, INT64_MAX));
  const double sampling_eps = options.number("sampling_eps", 1e-5, 1e-6, 0.5);
  options.expect_none_left();
  const bool exact = settings.trace == Trace::Exact;
  const ImageShape& image = network().image;
  ITO_USER_CHECK(!exact || settings.probes == 1, "probes ", settings.probes, ": an exact trace has none; leave it out");
  ITO_USER_CHECK(!exact || image.size() <= kMostExact, "trace exact: takes a pull-back for each of an image's ",
                 image.size(), " numbers; it is for ", kMostExact, " at most, use hutchinson");
  settings.batch = batch_of(count);
  settings.memory_limit = device_memory_limit();
  const ModelFlow flow = flow_of(model_, *schedule_, sampling_eps);
  settings.end_log_density = flow.end_log_density;
  const std::vector<float> points = interleaved_of(x, count, image);
  const std::vector<LogDensity> found =
      OdeLikelihood(network(), flow.flow, model_.weights.data(), settings).all(first, count, points.data(), labels);
  std::transform(found.begin(), found.end(), nats, [](const LogDensity& density) { return density.value; });
}

}  // namespace ito
