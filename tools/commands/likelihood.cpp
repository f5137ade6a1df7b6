// SPDX-License-Identifier: Apache-2.0
// ito likelihood: log p of data points under a model, into likelihood.json and a picture of how it is spread.
#include "engine/likelihood/ode_likelihood.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numbers>

#include "engine/data/load_dataset.h"
#include "engine/io/atomic_file.h"
#include "engine/io/chart.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "engine/likelihood/dequantise.h"
#include "kernels/seams/memory_limit.h"
#include "models/model_on_device.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/run_paths.h"
#include "tools/terminal/progress.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

struct LikelihoodOptions {
  std::string checkpoint, data, out, method = "ode", trace = "hutchinson", dequantise = "none", split = "test";
  int64_t count = 0, first = 0;
  int probes = 1, batch = 64, threads = 0, class_number = -1;
  double rtol = 1e-5, atol = 1e-5, sampling_eps = 1e-5;
  uint64_t seed = 0;
};

constexpr const char* kReportFile = "likelihood.json";
constexpr const char* kChartFile = "likelihood.svg";
constexpr int64_t kMostExact = 4096;  // numbers an image, each a pull-back an evaluation
constexpr int64_t kChecked = 4;       // points that are solved again at a tenth of the tolerance
constexpr int kBins = 20;
constexpr double kNoNoise = 1e-4;  // noise to signal: changes ln p by the square of it over a variance

// The index of a word among those that a flag takes.
size_t word_of(const char* flag, const std::string& word, const std::vector<std::string>& known) {
  const auto at = std::find(known.begin(), known.end(), word);
  ITO_USER_CHECK(at != known.end(), flag, " ", quote_name(word), ": is not known; use ",
                 known.size() > 1 ? "one of " : "", list_names(known), did_you_mean(word, known));
  return static_cast<size_t>(at - known.begin());
}

// What needs no model.
void check(const LikelihoodOptions& o) {
  word_of("--method", o.method, {"ode"});
  const bool exact = word_of("--trace", o.trace, {"exact", "hutchinson"}) == 0;
  word_of("--split", o.split, {"train", "test"});
  check_range("--probes", o.probes, 1, 1 << 10);
  ITO_USER_CHECK(!exact || o.probes == 1, "--probes ", o.probes, ": an exact trace has none; leave the flag out");
  dequantise_of(o.dequantise, "--dequantise");
  check_at_least<int64_t>("--count", o.count, 0, " (0: all)");
  check_at_least<int64_t>("--first", o.first, 0);
  check_batch(o.batch);
  check_threads(o.threads);
  check_range("--rtol", o.rtol, 1e-7, 1.0);
  check_range("--atol", o.atol, 1e-9, 1.0);
  check_range("--sampling-eps", o.sampling_eps, 1e-6, 0.5);
  check_at_least("--class", o.class_number, -1, " (-1: as the data says)");
  ITO_USER_CHECK(!std::filesystem::exists(o.out) || std::filesystem::is_directory(o.out), "--out ", o.out,
                 ": is a file; expected a folder, or the name of one to make");
}

struct Points {
  int64_t count = 0;
  std::vector<float> x0;        // (count, H, W, C)
  std::vector<int32_t> labels;  // of a network of classes
};

Points read_points(const LikelihoodOptions& o, const Network& network) {
  LoadOptions load;
  load.height = network.image.height;
  load.width = network.image.width;
  load.channels = network.image.channels == 1 || network.image.channels == 3 ? network.image.channels : 0;
  load.split = o.split == "train" ? Split::Train : Split::Test;
  load.memory_limit = host_memory_limit();
  const Dataset data = load_dataset(o.data, load);
  const ImageShape found{data.height, data.width, data.channels};
  ITO_USER_CHECK(found == network.image, o.data, ": holds images of ", data.channels, " x ", data.height, " x ",
                 data.width, "; the model is of ", network.image.channels, " x ", network.image.height, " x ",
                 network.image.width);
  ITO_USER_CHECK(o.first < data.count, "--first ", o.first, ": ", o.data, " has points 0 to ", data.count - 1);
  ITO_USER_CHECK(o.count <= data.count - o.first, "--count ", o.count, ": ", o.data, " has ", data.count - o.first,
                 " points from --first on");
  Points points;
  points.count = o.count ? o.count : data.count - o.first;
  points.x0.resize(static_cast<size_t>(points.count * data.image_size()));
  for (int64_t i = 0; i < points.count; ++i)
    data.image_f32(o.first + i, false, points.x0.data() + i * data.image_size());
  if (network.labels != LabelKind::Index) {
    ITO_USER_CHECK(o.class_number < 0, "--class ", o.class_number, ": this model has no classes; leave the flag out");
    return points;
  }
  ITO_USER_CHECK(o.class_number < network.classes, "--class ", o.class_number, ": the model has classes 0 to ",
                 network.classes - 1);
  ITO_USER_CHECK(o.class_number >= 0 || !data.labels.empty(), o.data,
                 ": has no labels, which this model needs; use --class");
  for (int64_t i = 0; i < points.count; ++i) {
    points.labels.push_back(o.class_number >= 0 ? o.class_number : data.labels[static_cast<size_t>(o.first + i)]);
    ITO_USER_CHECK(points.labels.back() < network.classes, o.data, ": point ", o.first + i, " is of class ",
                   points.labels.back(), "; the model has classes 0 to ", network.classes - 1);
  }
  return points;
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

struct MeanOf {
  double mean, standard_error;
};
MeanOf mean_of(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, n > 1 ? std::sqrt(squares / (n - 1) / n) : 0};
}

// How many points lie in each of some bins of equal width.
Series histogram(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double width = *high > *low ? (*high - *low) / kBins : 1;
  Series bins{.name = "points", .xs = {}, .ys = std::vector<double>(kBins, 0.0)};
  for (int i = 0; i < kBins; ++i) bins.xs.push_back(*low + (i + 0.5) * width);
  for (const double v : values) ++bins.ys[static_cast<size_t>(std::min<double>(kBins - 1, (v - *low) / width))];
  return bins;
}

void make_output_folder(const std::string& out) {
  std::error_code error;
  std::filesystem::create_directories(out, error);
  ITO_USER_CHECK(!error, "--out ", out, ": cannot be made a folder: ", error.message(), "; choose another path");
  const AtomicFile probe((std::filesystem::path(out) / kReportFile).string());  // goes away again
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

void run(const LikelihoodOptions& o) {
  check(o);
  set_device_threads(o.threads);
  const ModelOnDevice model = load_model(o.checkpoint, 0, 0);
  ITO_USER_CHECK(!is_inside(o.out, model.model.files.directory), "--out ", o.out, ": is the folder of the model, ",
                 model.model.files.directory, ", or in it; choose a folder elsewhere");
  const Network& network = model.network;
  const NoiseSchedule schedule(model.scheduler);
  check_timestep_count(network.time, model.model.where, schedule.steps());
  const Levels levels(schedule, kTerminalAbar);
  const double last = levels.steps() - 1;
  // A density that is known answers at any level: its flow runs to where the noise left on data is nothing.
  const auto& log_density = model.model.configured.log_density;
  const Level clean = log_density ? levels.of_s(kNoNoise) : levels.at(o.sampling_eps * last);
  const ProbabilityFlow flow = probability_flow(levels, Reading::of(model.scheduler), levels.at(last), clean);
  const int64_t size = network.image.size();
  const bool exact = o.trace == "exact";
  ITO_USER_CHECK(!exact || size <= kMostExact, "--trace exact: takes a pull-back for each of an image's ", size,
                 " numbers; it is for ", kMostExact, " at most, use --trace hutchinson");
  const Points points = read_points(o, network);
  const Dequantise dequantise = dequantise_of(o.dequantise, "--dequantise");
  const DequantisedImages images =
      dequantised(dequantise, points.x0, points.count, o.first, std::exp(flow.data), o.seed, o.data);
  LikelihoodSettings settings;
  settings.trace = exact ? Trace::Exact : Trace::Hutchinson;
  settings.probes = o.probes;
  settings.rtol = o.rtol;
  settings.atol = o.atol;
  settings.batch = static_cast<int>(std::min<int64_t>(o.batch, points.count));
  settings.seed = o.seed;
  settings.memory_limit = device_memory_limit();
  if (log_density) {
    const Mixing end = mixing(Family::Vp, std::exp(flow.noise));
    settings.end_log_density = [&log_density, end](const float* x) { return log_density(x, end.alpha, end.sigma); };
  }
  const int32_t* labels = points.labels.empty() ? nullptr : points.labels.data();
  const auto solve = [&](const char* title, int64_t count) {
    OdeLikelihood likelihood(network, flow, model.weights.data(), settings);
    make_output_folder(o.out);
    Progress progress(title, likelihood.thousandths_of(count), 1e-3, "points");
    progress.watch([&likelihood] { return likelihood.thousandths(); });
    return likelihood.all(o.first, count, images.x.data(), labels);
  };
  const std::vector<LogDensity> found = solve("likelihood", points.count);
  const int64_t checked = std::min(points.count, kChecked);
  settings.rtol /= 10;
  settings.atol /= 10;
  settings.batch = static_cast<int>(checked);
  const std::vector<LogDensity> finer = solve("likelihood at a tenth of the tolerance", checked);

  std::vector<double> log_prob, bits, probe_errors;
  for (size_t i = 0; i < found.size(); ++i) {
    log_prob.push_back(found[i].value - images.log_q[i]);
    bits.push_back(-log_prob.back() / (static_cast<double>(size) * std::numbers::ln2));
    probe_errors.push_back(found[i].standard_error);
  }
  double off = 0;
  for (size_t i = 0; i < finer.size(); ++i) off = std::max(off, std::fabs(finer[i].value - found[i].value));
  Json report = {
      {"method", o.method},   {"trace", o.trace},     {"dequantise", o.dequantise},       {"numbers_per_point", size},
      {"log_prob", log_prob}, {"bits_per_dim", bits}, {"solver", solver_report(o, found)}};
  report["solver"]["log_prob_error"] = off;
  report["solver"]["log_prob_error_points"] = checked;
  report["end"] = {{"noise_to_signal_of_data", std::exp(flow.data)},
                   {"noise_to_signal_of_noise", std::exp(flow.noise)},
                   {"density", log_density ? "exact" : "normal"}};
  if (!log_density) report["end"]["normal_density_costs_bits_per_dim"] = end_cost(flow, points);
  if (log_density) {
    std::vector<double> known;
    for (int64_t i = 0; i < points.count; ++i)
      known.push_back(log_density(images.x.data() + i * size, 1, 0) - images.log_q[static_cast<size_t>(i)]);
    report["exact_log_prob"] = known;
  }
  if (!exact) report["probes"] = o.probes;
  if (o.probes > 1) report["log_prob_standard_error_of_probes"] = probe_errors;
  const MeanOf nats = mean_of(log_prob), bits_mean = mean_of(bits);
  report["mean"] = {{"log_prob", nats.mean},
                    {"log_prob_standard_error", nats.standard_error},
                    {"bits_per_dim", bits_mean.mean},
                    {"bits_per_dim_standard_error", bits_mean.standard_error}};
  const auto path = [&](const char* name) { return (std::filesystem::path(o.out) / name).string(); };
  write_json_file(path(kReportFile), report);
  write_line_chart(path(kChartFile), "Points by bits per dimension", "bits per dimension", "points", {histogram(bits)},
                   false);
  print_result(join_text("log p ", nats.mean, " +- ", nats.standard_error, " nats, ", bits_mean.mean, " +- ",
                         bits_mean.standard_error, " bits per dimension, mean of ", points.count, " points"));
  print_result(path(kReportFile));
  print_result(path(kChartFile));
}

}  // namespace

void add_likelihood_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("likelihood", "log p of data points under a model");
  auto o = std::make_shared<LikelihoodOptions>();
  command->option_defaults()->always_capture_default();
  command->add_option("--checkpoint", o->checkpoint, "a run, a checkpoint or a diffusers directory")->required();
  command->add_option("--data", o->data, "the points: a data set, as for train")->required();
  command->add_option("--out", o->out, "folder for likelihood.json and likelihood.svg")->required();
  command->add_option("--method", o->method, "ode: change of variables along the probability flow");
  command->add_option("--trace", o->trace,
                      "of the flow's Jacobian: hutchinson, an estimate by random probes, or exact, for small images");
  command->add_option("--probes", o->probes, "probes of hutchinson, a pull-back each; 2 or more tell their error");
  command->add_option("--dequantise", o->dequantise,
                      "none: the density at the points; uniform or truncated-normal: a bound for bytes");
  command->add_option("--split", o->split, "of the data: test or train");
  command->add_option("--count", o->count, "points; 0: all");
  command->add_option("--first", o->first, "index of the first point");
  command->add_option("--class", o->class_number, "class of every point; -1: as the data says");
  command->add_option("--rtol", o->rtol, "error a step may make, of the state's size");
  command->add_option("--atol", o->atol, "and besides");
  command->add_option("--sampling-eps", o->sampling_eps, "the time, of 0 to 1, at which data stands");
  command->add_option("--batch", o->batch, "points at a time");
  command->add_option("--seed", o->seed, "seed of probes and dequantising");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->callback([o] { run(*o); });
}

}  // namespace ito
