// SPDX-License-Identifier: Apache-2.0
// ito likelihood: log p of data points under a model, or a bound on it, into likelihood.json and a picture. What points
// there are and what is written of them stands here, once for all methods (likelihood/method.h).
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numbers>
#include <numeric>

#include "engine/data/load_dataset.h"
#include "engine/io/input_file.h"
#include "engine/io/sample_grid.h"
#include "kernels/seams/memory_limit.h"
#include "tools/commands/average_flag.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/label_flag.h"
#include "tools/commands/likelihood/method.h"
#include "tools/commands/output_folder.h"
#include "tools/commands/rank_work.h"
#include "tools/terminal/results.h"

namespace ito {

extern const LikelihoodMethod kOdeMethod, kVlbMethod, kMarginalMethod;

namespace {

constexpr const LikelihoodMethod* kMethods[] = {&kOdeMethod, &kVlbMethod, &kMarginalMethod};

constexpr const char* kChartFile = "likelihood.svg";
constexpr const char* kPictureFile = "likelihood.png";
constexpr int kBins = 20;
constexpr size_t kMostPictured = 16;

const LikelihoodMethod& method_of(const LikelihoodOptions& o) {
  std::vector<std::string> names;
  for (const LikelihoodMethod* method : kMethods) names.emplace_back(method->name);
  return *kMethods[word_of("--method", o.method, names)];
}

// No flag of another method is passed over.
void check_flags(const CLI::App& command, const LikelihoodMethod& chosen) {
  const auto asks = [](const LikelihoodMethod& method, std::string_view flag) {
    return std::any_of(method.flags.begin(), method.flags.end(), [&](const MethodFlag& f) { return f.flag == flag; });
  };
  for (const LikelihoodMethod* method : kMethods)
    for (const MethodFlag& f : method->flags)
      ITO_USER_CHECK(asks(chosen, f.flag) || command.count(f.flag) == 0, f.flag, ": says ", f.says, ", which --method ",
                     chosen.name, " does not ask; leave it out, or use --method ", method->name);
}

// What needs no model.
void check(const LikelihoodOptions& o) {
  word_of("--split", o.split, {"train", "test"});
  check_at_least<int64_t>("--count", o.count, 0, " (0: all)");
  check_at_least<int64_t>("--first", o.first, 0);
  check_batch(o.batch);
  check_threads(o.threads);
  check_at_least("--class", o.class_number, -1, " (-1: as the data says)");
  check_guidance(o.guidance);
  check_out_is_no_file(o.out);
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

// Points from the most probable one to the least, as many as a row shows, evenly chosen by their rank.
Image ranked_points(const Judged& judged) {
  std::vector<size_t> order(judged.log_prob.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return judged.log_prob[a] > judged.log_prob[b]; });
  const size_t shown = std::min(order.size(), kMostPictured), size = static_cast<size_t>(judged.size);
  std::vector<Image> images;
  for (size_t i = 0; i < shown; ++i) {
    const size_t at = shown > 1 ? order[i * (order.size() - 1) / (shown - 1)] : order[0];
    images.push_back(to_picture(to_bytes({judged.points.data() + at * size, size}).data(), judged.image));
  }
  return image_grid(images, static_cast<int>(shown), 2);
}

void write_report(const LikelihoodOptions& o, const Judged& judged) {
  std::vector<double> bits;
  for (const double nats : judged.log_prob)
    bits.push_back(-nats / (static_cast<double>(judged.size) * std::numbers::ln2));
  Json report = judged.report;
  report["method"] = o.method;
  if (const Json guidance = guidance_json(o.guidance); !guidance.empty()) report["guidance"] = guidance;
  report["numbers_per_point"] = judged.size;
  report["log_prob"] = judged.log_prob;
  report["bits_per_dim"] = bits;
  const MeanOf nats = mean_of(judged.log_prob), bits_mean = mean_of(bits);
  report["mean"] = {{"log_prob", nats.mean},
                    {"log_prob_standard_error", nats.standard_error},
                    {"bits_per_dim", bits_mean.mean},
                    {"bits_per_dim_standard_error", bits_mean.standard_error}};
  const auto path = [&](const char* name) { return (std::filesystem::path(o.out) / name).string(); };
  write_json_file(path(kLikelihoodReport), report);
  if (judged.series.empty())
    write_line_chart(path(kChartFile), "Points by bits per dimension", "bits per dimension", "points",
                     {histogram(bits)}, false);
  else
    write_line_chart(path(kChartFile), judged.title, judged.x_label, judged.y_label, judged.series, true);
  write_png(path(kPictureFile), ranked_points(judged));
  print_result(join_text(judged.what, " ", nats.mean, " +- ", nats.standard_error, " nats, ", bits_mean.mean, " +- ",
                         bits_mean.standard_error, " bits per dimension, mean of ", judged.log_prob.size(), " points",
                         judged.parts));
  print_result(path(kLikelihoodReport));
  print_result(path(kChartFile));
  print_result(path(kPictureFile));
}

void run(const LikelihoodOptions& o, const CLI::App& command, Communicator& ranks) {
  const LikelihoodMethod& method = method_of(o);
  check_flags(command, method);
  check(o);
  method.check(o);
  set_threads_of_rank(ranks, o.threads);
  const ModelOnDevice model = with_guidance(load_model(o.checkpoint, 0, 0, o.ema), o.guidance);
  check_out_is_outside(o.out, model.model.files.directory);
  const NoiseSchedule schedule(model.scheduler);
  check_timestep_count(model.network.time, model.model.where, schedule.steps());
  check_ranks_alike(ranks, command, model,
                    {file_fact("--statistics", o.statistics.empty() ? model.model.files.statistics : o.statistics)});
  const Judged judged = method.judge(o, model, schedule, ranks);
  if (ranks.rank() == 0) write_report(o, judged);
}

// (count, label_width) of a network that takes real-valued labels: the flag's, or else the data's.
std::vector<float> label_values(const LikelihoodOptions& o, const Network& network, Dataset& data, int64_t count) {
  if (network.labels != LabelKind::Value || !o.labels.empty())
    return label_values_of(o.labels, network, o.first, count);
  ITO_USER_CHECK(data.label_width > 0 || !data.labels.empty(), o.data,
                 ": has no labels, which this model needs; use --labels");
  data.want_values(network.label_width);
  const auto begin = data.label_values.begin() + o.first * network.label_width;
  return {begin, begin + count * network.label_width};
}

std::string methods_help() {
  std::string text = "Methods:\n";
  for (const LikelihoodMethod* method : kMethods) text += join_text("  ", method->name, ": ", method->help, "\n");
  return text;
}

}  // namespace

size_t word_of(const char* flag, const std::string& word, const std::vector<std::string>& known) {
  const auto at = std::find(known.begin(), known.end(), word);
  ITO_USER_CHECK(at != known.end(), flag, " ", quote_name(word), ": is not known; use ",
                 known.size() > 1 ? "one of " : "", list_names(known), did_you_mean(word, known));
  return static_cast<size_t>(at - known.begin());
}

Points read_points(const LikelihoodOptions& o, const Network& network, Communicator& ranks) {
  LoadOptions load;
  load.height = network.image.height;
  load.width = network.image.width;
  load.channels = network.image.channels == 1 || network.image.channels == 3 ? network.image.channels : 0;
  load.split = o.split == "train" ? Split::Train : Split::Test;
  load.memory_limit = host_memory_limit() / static_cast<size_t>(ranks.local_size());  // each reads all of it
  Dataset data = load_dataset(o.data, load);
  const ImageShape found{data.height, data.width, data.channels};
  ITO_USER_CHECK(found == network.image, o.data, ": holds images of ", data.channels, " x ", data.height, " x ",
                 data.width, "; the model is of ", network.image.channels, " x ", network.image.height, " x ",
                 network.image.width);
  ITO_USER_CHECK(o.first < data.count, "--first ", o.first, ": ", o.data, " has points 0 to ", data.count - 1);
  ITO_USER_CHECK(o.count <= data.count - o.first, "--count ", o.count, ": ", o.data, " has ", data.count - o.first,
                 " points from --first on");
  if (network.labels != LabelKind::Index)
    ITO_USER_CHECK(o.class_number < 0, "--class ", o.class_number, ": this model ",
                   network.labels == LabelKind::None ? "has no classes; leave the flag out"
                                                     : "takes real-valued labels; use --labels");
  const int64_t count = o.count ? o.count : data.count - o.first;
  const std::vector<float> values = label_values(o, network, data, count);
  if (ranks.size() > 1) check_ranks_agree(ranks, {data_fact(data), labels_fact(values)});
  Points points{.shares = ItemShares(ranks, count), .x0 = {}, .labels = {}};
  const IndexRange kept = points.shares.kept();
  const int64_t first = o.first + kept.first;
  points.x0.resize(static_cast<size_t>(kept.count * data.image_size()));
  for (int64_t i = 0; i < kept.count; ++i) data.image_f32(first + i, false, points.x0.data() + i * data.image_size());
  if (network.labels != LabelKind::Index) {
    if (!values.empty()) {
      const auto begin = values.begin() + kept.first * network.label_width;
      points.labels.values.assign(begin, begin + kept.count * network.label_width);
    }
    return points;
  }
  ITO_USER_CHECK(o.class_number < network.classes, "--class ", o.class_number, ": the model has classes 0 to ",
                 network.classes - 1);
  ITO_USER_CHECK(o.class_number >= 0 || !data.labels.empty(), o.data,
                 ": has no labels, which this model needs; use --class");
  for (int64_t i = 0; i < kept.count; ++i) {
    const int32_t label = o.class_number >= 0 ? o.class_number : data.labels[static_cast<size_t>(first + i)];
    ITO_USER_CHECK(label < network.classes, o.data, ": point ", first + i, " is of class ", label,
                   "; the model has classes 0 to ", network.classes - 1);
    points.labels.classes.push_back(label);
  }
  return points;
}

void add_likelihood_command(CLI::App& app, Communicator& ranks) {
  CLI::App* command = app.add_subcommand("likelihood", "log p of data points under a model, or a bound on it");
  auto o = std::make_shared<LikelihoodOptions>();
  command->option_defaults()->always_capture_default();
  command
      ->add_option("--checkpoint", o->checkpoint,
                   "a run, a checkpoint, a diffusers directory or the file of an exact network")
      ->required();
  add_average_flag(*command, o->ema);
  command->add_option("--data", o->data, "the points: a data set, as for train")->required();
  command->add_option("--out", o->out, "folder for likelihood.json, likelihood.svg and likelihood.png")->required();
  command->add_option("--method", o->method, "which, of those below");
  command->add_option("--split", o->split, "of the data: test or train");
  command->add_option("--count", o->count, "points; 0: all");
  command->add_option("--first", o->first, "index of the first point");
  command->add_option("--class", o->class_number, "class of every point; -1: as the data says");
  command->add_option("--labels", o->labels, join_text(kLabelsHelp, "; empty: as the data says"));
  command->add_option("--batch", o->batch, "points at a time");
  command->add_option("--seed", o->seed, "seed of all draws");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->add_option(
      "--trace", o->trace,
      "ode: of the flow's Jacobian, hutchinson, an estimate by random probes, or exact, for small images");
  command->add_option("--probes", o->probes, "ode: probes of hutchinson, a pull-back each; 2 or more tell their error");
  command->add_option("--dequantise", o->dequantise,
                      "ode: none, the density at the points; uniform or truncated-normal, a bound for bytes");
  command->add_option("--rtol", o->rtol, "ode: error a step may make, of the state's size");
  command->add_option("--atol", o->atol, "ode: and besides");
  command->add_option("--sampling-eps", o->sampling_eps, "ode: the time, of 0 to 1, at which data stands");
  command->add_option("--reverse", o->reverse,
                      "vlb: how a step is modelled, as for sample; empty: as the model was trained");
  command->add_option("--decoder", o->decoder,
                      "vlb, marginal: the last step's answer, the probability of bytes or the density at a point; "
                      "empty: bytes, or density where the model's own is known");
  command->add_option("--statistics", o->statistics,
                      "vlb, marginal: a file that reverse-stats wrote; empty: the model's own");
  add_guidance_flags(*command, o->guidance);
  command->footer(methods_help());
  command->callback([o, command, &ranks] { run(*o, *command, ranks); });
}

}  // namespace ito
