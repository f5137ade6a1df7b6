// SPDX-License-Identifier: Apache-2.0
// log p by the change of variables along the probability flow (engine/likelihood/ode_likelihood.h), with what is known
// of its error: the solver's at a tenth of the tolerance, the probes' spread, and what the noisy end costs.
#include "engine/likelihood/ode_likelihood.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/likelihood/dequantise.h"
#include "kernels/seams/memory_limit.h"
#include "models/model_flow.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/likelihood/method.h"
#include "tools/commands/output_folder.h"
#include "tools/commands/rank_work.h"
#include "tools/terminal/progress.h"

namespace ito {
namespace {

constexpr int64_t kMostExact = 4096;  // numbers an image, each a pull-back an evaluation
constexpr int64_t kChecked = 4;       // points that are solved again at a tenth of the tolerance

void check_ode(const LikelihoodOptions& o) {
  const bool exact = word_of("--trace", o.trace, {"exact", "hutchinson"}) == 0;
  check_range("--probes", o.probes, 1, 1 << 10);
  ITO_USER_CHECK(!exact || o.probes == 1, "--probes ", o.probes, ": an exact trace has none; leave the flag out");
  dequantise_of(o.dequantise, "--dequantise");
  check_range("--rtol", o.rtol, 1e-7, 1.0);
  check_range("--atol", o.atol, 1e-9, 1.0);
  check_range("--sampling-eps", o.sampling_eps, 1e-6, 0.5);
}

// The mean over points of KL(q(x_T | x0) || p_T) in bits a number: what it costs at the least that p_T is taken for a
// normal density.
double end_cost(const ProbabilityFlow& flow, const Points& points) {
  const double s = std::exp(flow.noise), abar = 1 / (1 + s * s), variance = flow.noise_std * flow.noise_std;
  double square = 0;
  for (const float x : points.x0) square += static_cast<double>(x) * x;
  const double mean_square = square / static_cast<double>(points.x0.size()), noise = 1 - abar;
  return ((noise + abar * mean_square) / variance - 1 - std::log(noise / variance)) / 2 / std::numbers::ln2;
}

Json solver_report(const LikelihoodOptions& o, const std::vector<LogDensity>& found) {
  int64_t evaluations = 0, accepted = 0, rejected = 0;
  int most = 0;
  for (const LogDensity& point : found) {
    evaluations += point.evaluations, accepted += point.accepted, rejected += point.rejected;
    most = std::max(most, point.evaluations);
  }
  return {{"rtol", o.rtol},
          {"atol", o.atol},
          {"evaluations_mean", static_cast<double>(evaluations) / static_cast<double>(found.size())},
          {"evaluations_most", most},
          {"steps_accepted", accepted},
          {"steps_rejected", rejected}};
}

Judged judge_ode(const LikelihoodOptions& o, const ModelOnDevice& model, const NoiseSchedule& schedule,
                 Communicator& ranks) {
  const Network& network = model.network;
  const auto& log_density = model.model.configured.log_density;
  const ModelFlow of_model = flow_of(model, schedule, o.sampling_eps);
  const ProbabilityFlow& flow = of_model.flow;
  const int64_t size = network.image.size();
  const bool exact = o.trace == "exact";
  ITO_USER_CHECK(!exact || size <= kMostExact, "--trace exact: takes a pull-back for each of an image's ", size,
                 " numbers; it is for ", kMostExact, " at most, use --trace hutchinson");
  const Points points = read_points(o, network, ranks);
  const ItemShares& shares = points.shares;
  const IndexRange &own = shares.own(), kept = shares.kept();
  const Dequantise dequantise = dequantise_of(o.dequantise, "--dequantise");
  const DequantisedImages images =
      dequantised(dequantise, points.x0, kept.count, o.first + kept.first, std::exp(flow.data), o.seed, o.data);
  LikelihoodSettings settings;
  settings.trace = exact ? Trace::Exact : Trace::Hutchinson;
  settings.probes = o.probes;
  settings.rtol = o.rtol;
  settings.atol = o.atol;
  settings.batch = static_cast<int>(std::min<int64_t>(o.batch, own.count));
  settings.seed = o.seed;
  settings.memory_limit = memory_of_rank(ranks, device_memory_limit());
  settings.end_log_density = of_model.end_log_density;
  // The first of the points that are kept.
  const auto solve = [&](const std::string& title, int64_t count) -> std::vector<LogDensity> {
    if (count == 0) return {};
    OdeLikelihood likelihood(network, flow, model.weights.data(), settings);
    if (shares.first_rank()) make_output_folder(o.out, kLikelihoodReport);
    Progress progress(title, likelihood.thousandths_of(count), 1e-3, "points");
    progress.watch([&likelihood] { return likelihood.thousandths(); });
    return likelihood.all(o.first + kept.first, count, images.x.data(), points.labels.rows());
  };
  std::vector<LogDensity> found = solve(title_of_rank("likelihood", ranks), own.count);
  shares.collect(found);
  if (!shares.first_rank()) return {};
  const int64_t checked = std::min(points.count(), kChecked);
  settings.rtol /= 10;
  settings.atol /= 10;
  settings.batch = static_cast<int>(checked);
  const std::vector<LogDensity> finer = solve("likelihood at a tenth of the tolerance", checked);

  Judged judged{.size = size, .log_prob = {}, .image = network.image, .points = points.x0, .report = {}};
  std::vector<double> probe_errors;
  for (size_t i = 0; i < found.size(); ++i) {
    judged.log_prob.push_back(found[i].value - images.log_q[i]);
    probe_errors.push_back(found[i].standard_error);
  }
  double off = 0;
  for (size_t i = 0; i < finer.size(); ++i) off = std::max(off, std::fabs(finer[i].value - found[i].value));
  Json& report = judged.report;
  report = {{"trace", o.trace}, {"dequantise", o.dequantise}, {"solver", solver_report(o, found)}};
  report["solver"]["log_prob_error"] = off;
  report["solver"]["log_prob_error_points"] = checked;
  report["end"] = {{"noise_to_signal_of_data", std::exp(flow.data)},
                   {"noise_to_signal_of_noise", std::exp(flow.noise)},
                   {"density", log_density ? "exact" : "normal"}};
  if (!log_density) report["end"]["normal_density_costs_bits_per_dim"] = end_cost(flow, points);
  if (log_density) {
    std::vector<double> known;
    for (int64_t i = 0; i < points.count(); ++i)
      known.push_back(log_density(images.x.data() + i * size, 1, 0) - images.log_q[static_cast<size_t>(i)]);
    report["exact_log_prob"] = known;
  }
  if (!exact) report["probes"] = o.probes;
  if (o.probes > 1) report["log_prob_standard_error_of_probes"] = probe_errors;
  return judged;
}

constexpr MethodFlag kFlags[] = {
    {"--trace", "how the flow's divergence is taken"}, {"--probes", "how many probes estimate the flow's divergence"},
    {"--dequantise", "how bytes get a density"},       {"--rtol", "how exactly the flow is followed"},
    {"--atol", "how exactly the flow is followed"},    {"--sampling-eps", "where the flow ends"}};

}  // namespace

extern const LikelihoodMethod kOdeMethod;
const LikelihoodMethod kOdeMethod = {
    .name = "ode",
    .help = "change of variables along the probability flow (Song et al. 2021)",
    .flags = kFlags,
    .check = check_ode,
    .judge = judge_ode,
};

}  // namespace ito
