// SPDX-License-Identifier: Apache-2.0
// The variational bound (engine/likelihood/variational_bound.h) by the reverse option that a model was trained with, or
// by the marginal one, whose variances are measured.
#include "engine/likelihood/variational_bound.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <utility>

#include "kernels/seams/memory_limit.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/likelihood/method.h"
#include "tools/commands/output_folder.h"
#include "tools/commands/rank_work.h"
#include "tools/terminal/progress.h"

namespace ito {
namespace {

constexpr const char* kMarginalName = "marginal";
constexpr double kOffByte = 1e-4;  // what fp32 and conversions may do to 2 k / 255 - 1

void check_bound(const LikelihoodOptions& o) {
  if (!o.decoder.empty()) word_of("--decoder", o.decoder, {"bytes", "density"});
  if (!o.reverse.empty()) reverse_option_named(o.reverse, "--reverse");
}

void check_bytes(const LikelihoodOptions& o, const Points& points) {
  const int64_t size = static_cast<int64_t>(points.x0.size()) / std::max<int64_t>(points.shares.kept().count, 1);
  for (size_t i = 0; i < points.x0.size(); ++i) {
    const double value = static_cast<double>(points.x0[i]), byte = (value + 1) * 127.5;
    const bool is_byte = std::fabs(value) < 2 && std::fabs(byte - std::round(byte)) <= 127.5 * kOffByte &&
                         std::round(byte) >= 0 && std::round(byte) <= 255;
    ITO_USER_CHECK(is_byte, o.data, ": point ", o.first + points.shares.kept().first + static_cast<int64_t>(i) / size,
                   " holds ", value, ", which is no byte 2 k / 255 - 1; use --decoder density");
  }
}

// The mean over points in bits a number, of values in nats a number.
double mean_bits(const std::vector<double>& nats) {
  double sum = 0;
  for (const double value : nats) sum += value;
  return sum / static_cast<double>(nats.size()) / std::numbers::ln2;
}

std::vector<double> in_bits(std::vector<double> nats) {
  for (double& value : nats) value /= std::numbers::ln2;
  return nats;
}

Judged judge_bound(const LikelihoodOptions& o, const ModelOnDevice& model, const NoiseSchedule& schedule,
                   Communicator& ranks) {
  const Network& network = model.network;
  check_outputs(network, model.scheduler, model.model.where);
  ITO_USER_CHECK(!network.time.positive, model.model.where, ": ", network.time.why,
                 "; it has no value at timestep 0, which the bound asks for");
  const std::string name = o.method == kMarginalName ? kMarginalName
                           : o.reverse.empty()       ? model.scheduler.reverse
                                                     : o.reverse;
  const ReverseOption& reverse = reverse_option_named(name, "--reverse");
  ITO_USER_CHECK(o.statistics.empty() || reverse.asks_statistics, "--statistics ", o.statistics,
                 ": the reverse option ", name, " needs nothing measured; leave the flag out");
  const std::string& file = o.statistics.empty() ? model.model.files.statistics : o.statistics;
  std::optional<LevelStatistics> statistics;
  if (reverse.asks_statistics && !file.empty()) statistics = read_level_statistics(file, schedule.steps());
  const auto& log_density = model.model.configured.log_density;
  const bool bytes = o.decoder.empty() ? !log_density : o.decoder == "bytes";
  const std::vector<VariationalRow> rows = variational_rows({.levels = Levels(schedule),
                                                             .config = model.scheduler,
                                                             .reverse = reverse,
                                                             .statistics = statistics ? &*statistics : nullptr,
                                                             .last = bytes ? BoundTerm::Bytes : BoundTerm::Density,
                                                             .clip = true});
  const Points points = read_points(o, network, ranks);
  if (bytes) check_bytes(o, points);
  const IndexRange& own = points.shares.own();
  const int64_t total = own.count * schedule.steps(), size = network.image.size();
  BoundSettings settings;
  settings.batch = static_cast<int>(std::min<int64_t>(o.batch, total));
  settings.seed = o.seed;
  settings.first = o.first + own.first;
  settings.memory_limit = memory_of_rank(ranks, device_memory_limit());
  const bool first_rank = points.shares.first_rank();
  BoundSums sums(schedule.steps());
  std::vector<double> passed_on;  // to the first rank, whose sums are of all points in their order
  const auto take = [&](double term) { first_rank ? sums.add(term) : passed_on.push_back(term); };
  if (own.count) {
    Progress progress(title_of_rank("variational bound", ranks), total, 1.0 / schedule.steps(), "points");
    measure_terms(network, model.weights.data(), schedule, rows, points.x0, points.labels, own.count, settings, take,
                  [&](int64_t done) {
                    if (done == 0 && first_rank) make_output_folder(o.out, kLikelihoodReport);
                    progress.update(done);
                  });
  }
  points.shares.pass_on(passed_on, static_cast<size_t>(schedule.steps()),
                        [&](const std::vector<double>& terms) { std::ranges::for_each(terms, take); });
  if (!first_rank) return {};
  const VariationalBound bound = std::move(sums).bound(prior_terms(schedule, points.x0, size));

  Judged judged{.size = size, .log_prob = {}, .image = network.image, .points = points.x0, .report = {}};
  for (size_t i = 0; i < bound.last.size(); ++i) judged.log_prob.push_back(-bound.at(i) * static_cast<double>(size));
  const std::vector<double> terms = in_bits(bound.term);
  const double prior = mean_bits(bound.prior), last = mean_bits(bound.last);
  judged.report = {{"reverse", name},
                   {"decoder", bytes ? "bytes" : "density"},
                   {"terms",
                    {{"L_T", prior},
                     {"L_0", last},
                     {"by_timestep", terms},
                     {"by_timestep_standard_error", in_bits(bound.term_standard_error)}}}};
  if (log_density && !bytes) {
    std::vector<double> known;
    for (int64_t i = 0; i < points.count(); ++i) known.push_back(log_density(points.x0.data() + i * size, 1, 0));
    judged.report["exact_log_prob"] = known;
  }
  judged.what = bytes ? "log P of bytes at least" : "log p at least";
  judged.parts =
      join_text(": L_T ", prior, ", sum of L_{t-1} ", mean_bits(bound.between), ", L_0 ", last, " bits per dimension");
  judged.title = "Terms of the variational bound";
  judged.x_label = "timestep";
  judged.y_label = "bits per dimension";
  Series series{.name = "L_{t-1}, L_0 at 0", .xs = {}, .ys = terms};
  for (int timestep = 0; timestep < schedule.steps(); ++timestep) series.xs.push_back(timestep);
  judged.series = {series};
  return judged;
}

constexpr MethodFlag kDecoder = {"--decoder", "how the chain's last step is read"};
constexpr MethodFlag kStatistics = {"--statistics", "what was measured of the chain's steps"};
constexpr MethodFlag kVlbFlags[] = {{"--reverse", "how a step of the chain is modelled"}, kDecoder, kStatistics};
constexpr MethodFlag kMarginalFlags[] = {kDecoder, kStatistics};

}  // namespace

extern const LikelihoodMethod kVlbMethod, kMarginalMethod;
const LikelihoodMethod kVlbMethod = {
    .name = "vlb",
    .help = "the variational bound L_T + sum of L_{t-1} + L_0 of the model's reverse option (Ho et al. 2020)",
    .flags = kVlbFlags,
    .check = check_bound,
    .judge = judge_bound,
};
const LikelihoodMethod kMarginalMethod = {
    .name = kMarginalName,
    .help = "the same of the reverse option marginal, whose variances reverse-stats measured",
    .flags = kMarginalFlags,
    .check = check_bound,
    .judge = judge_bound,
};

}  // namespace ito
