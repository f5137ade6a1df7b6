// SPDX-License-Identifier: Apache-2.0
// ito eval: numbers for samples against a data set: the classes found, and distances of distributions by the metrics of
// engine/evaluate, of pixels, of a classifier's features or of features that the user brings.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "engine/data/load_dataset.h"
#include "engine/evaluate/classifier.h"
#include "engine/evaluate/feature_network.h"
#include "engine/evaluate/features.h"
#include "engine/evaluate/metric.h"
#include "engine/evaluate/nearest_mean.h"
#include "engine/io/input_file.h"
#include "engine/program/memory_check.h"
#include "kernels/seams/device.h"
#include "kernels/seams/memory_limit.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/read_samples.h"
#include "tools/terminal/messages.h"
#include "tools/terminal/progress.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

constexpr int kMaxClasses = 1 << 16;
constexpr double kSlow = 5e10;  // multiplications from which a metric shows its progress

struct EvalOptions {
  std::string samples, data, features = "pixels", classifier, out;
  std::vector<std::string> metrics{"sliced-wasserstein"};
  int projections = 500, test_images = 2000, at_least = 2, neighbours = 0, threads = 0;
  uint64_t seed = 0;
  bool json = false, features_given = false;
};

// What is compared: the samples with the reference, and for scale as many training images.
struct Compared {
  FeatureSet samples, reference;
  std::optional<FeatureSet> training;
  std::string reference_is;          // in words
  std::vector<std::string> classes;  // of the data, by label; empty where it has none
};

std::vector<const Metric*> chosen_metrics(const EvalOptions& o) {
  std::vector<const Metric*> chosen;
  for (const std::string& name : o.metrics) {
    if (name == "all") return metrics();
    const Metric* metric = &metric_named(name, "--metrics " + name);
    if (std::find(chosen.begin(), chosen.end(), metric) == chosen.end()) chosen.push_back(metric);
  }
  return chosen;
}

void check(const EvalOptions& o) {
  check_range("--projections", o.projections, 1, 1 << 20);
  check_at_least("--test-images", o.test_images, 1);
  check_at_least("--at-least", o.at_least, 1);
  check_at_least("--neighbours", o.neighbours, 0, " (0: as the metric's paper has it)");
  check_threads(o.threads);
  std::string weights, networks;
  for (const FeatureNetworkKind* kind : feature_networks()) networks += join_text(", ", kind->name, ":WEIGHTS");
  ITO_USER_CHECK(o.features == "pixels" || o.features == "classifier" || o.features == "given" ||
                     feature_network_of(o.features, weights),
                 "--features ", o.features, ": expected pixels, classifier", networks, " or given",
                 did_you_mean(o.features, {"pixels", "classifier", "given"}));
  ITO_USER_CHECK(o.classifier.empty() || o.features == "classifier", "--classifier ", o.classifier,
                 ": is for --features classifier alone; give that too, or leave the flag out");
}

std::vector<float> images_of(const Dataset& data, int64_t first, int64_t count) {
  std::vector<float> images(count * data.image_size());
  for (int64_t i = 0; i < count; ++i) data.image_f32(first + i, false, images.data() + i * data.image_size());
  return images;
}

std::string class_name(const Dataset& data, int k) {
  return k < static_cast<int>(data.class_names.size()) ? printable(data.class_names[k]) : std::to_string(k);
}

Dataset load_split(const EvalOptions& o, const Samples& samples, Split split) {
  LoadOptions options;
  options.channels = samples.image.channels;
  if (o.data != "fashion-mnist") {
    options.height = samples.image.height;
    options.width = samples.image.width;
  }
  options.memory_limit = host_memory_limit();
  options.split = split;
  Dataset data = load_dataset(o.data, options);
  const ImageShape& image = samples.image;
  ITO_USER_CHECK(data.height == image.height && data.width == image.width && data.channels == image.channels, o.samples,
                 ": samples are ", image.channels, " x ", image.height, " x ", image.width, ", the data ",
                 data.channels, " x ", data.height, " x ", data.width, "; expected one size");
  ITO_USER_CHECK(data.class_count() <= kMaxClasses, o.data, ": has labels up to ", data.class_count() - 1,
                 "; expected at most ", kMaxClasses, " classes");
  return data;
}

// The classes' names, by label.
std::vector<std::string> count_classes(const EvalOptions& o, const Samples& samples, const Dataset& train,
                                       Json& report) {
  if (train.class_count() == 0) return {};
  const int64_t dim = train.image_size();
  const NearestMeanClassifier classifier(images_of(train, 0, train.count), train.labels, dim, train.class_count());
  std::vector<int> found(train.class_count(), 0);
  for (int64_t i = 0; i < samples.count; ++i) ++found[classifier.classify(samples.images.data() + i * dim)];
  int often = 0;
  std::vector<std::string> names;
  for (int k = 0; k < train.class_count(); ++k) {
    often += found[k] >= o.at_least;
    names.push_back(class_name(train, k));
    report["classes"][names.back()] = found[k];
  }
  report["classes_found"] = often;
  return names;
}

// Of the test images that samples are compared with.
double accuracy_of(const Classifier& classifier, const Dataset& test, const std::vector<float>& images, int64_t count) {
  const Classifier::Answers answers = classifier.answers(images);
  int64_t right = 0;
  for (int64_t i = 0; i < count; ++i) right += answers.classes[i] == test.labels[i];
  return static_cast<double>(right) / static_cast<double>(count);
}

// The one in --classifier, or a new one, kept there.
Classifier classifier_of(const EvalOptions& o, const Dataset& train, const Dataset& test,
                         const std::vector<float>& reference) {
  const ImageShape image{train.height, train.width, train.channels};
  if (!o.classifier.empty() && std::filesystem::exists(o.classifier))
    return Classifier::read(o.classifier, image, train.class_count());
  ClassifierTraining training;
  training.seed = o.seed;
  training.memory_limit = device_memory_limit();
  std::optional<Progress> progress;
  training.report = [&](int64_t done) {
    if (!progress) progress.emplace("training a classifier", training.steps, training.batch, "images");
    progress->update(done);
  };
  Classifier classifier = Classifier::train(train, training);
  progress->finish();
  if (!test.labels.empty()) {
    const int64_t count = static_cast<int64_t>(reference.size()) / image.size();
    const double accuracy = accuracy_of(classifier, test, reference, count);
    classifier.add_to_history("test_accuracy", accuracy);
    classifier.add_to_history("test_images", count);
    print_note(join_text("the classifier is right on ", 100 * accuracy, " % of ", count, " test images"));
  }
  if (o.classifier.empty()) return classifier;
  classifier.write(o.classifier);
  print_note("kept in " + o.classifier + " for the next time");
  return classifier;
}

void take_reference(const EvalOptions& o, Compared& sets, Json& report) {
  sets.reference = read_features(o.data);
  sets.reference_is = "the statistics of " + o.data;
  if (sets.reference.is_statistics()) return;
  report["reference_images"] = sets.reference.count;
  sets.reference_is = join_text(sets.reference.count, " points of ", o.data);
}

// Both sides by a network of the user's; the reference may be a file of what it gives for the data, or its statistics.
Compared compare_by_network(const EvalOptions& o, Json& report) {
  std::string weights;
  const std::unique_ptr<FeatureNetwork> network =
      feature_network_of(o.features, weights)->open(weights, device_memory_limit());
  const Samples samples = read_samples(o.samples, host_memory_limit());
  report = {{"samples", samples.count}, {"features", o.features}, {"network", network->settings()}};
  Compared sets;
  if (holds_features(o.data)) {
    take_reference(o, sets, report);
  } else {
    const Dataset train = load_split(o, samples, Split::Train), test = load_split(o, samples, Split::Test);
    const int64_t against = std::min<int64_t>(o.test_images, test.count);
    sets.reference = network->features(images_of(test, 0, against), samples.image);
    sets.training =
        network->features(images_of(train, 0, std::min<int64_t>(samples.count, train.count)), samples.image);
    sets.reference_is = join_text(against, " test images");
    report["reference_images"] = against;
  }
  sets.samples = network->features(samples.images, samples.image);
  return sets;
}

Compared compare_images(const EvalOptions& o, Json& report) {
  std::string weights;
  if (feature_network_of(o.features, weights)) return compare_by_network(o, report);
  const Samples samples = read_samples(o.samples, host_memory_limit());
  const Dataset train = load_split(o, samples, Split::Train), test = load_split(o, samples, Split::Test);
  const int64_t dim = train.image_size(), against = std::min<int64_t>(o.test_images, test.count),
                same = std::min<int64_t>(samples.count, train.count);
  report = {{"samples", samples.count}, {"features", o.features}, {"reference_images", against}};
  const std::vector<float> reference = images_of(test, 0, against), training = images_of(train, 0, same);
  Compared sets;
  sets.classes = count_classes(o, samples, train, report);
  sets.reference_is = join_text(against, " test images");
  if (o.features == "pixels") {
    sets.samples = pixel_features(samples.images, dim);
    sets.reference = pixel_features(reference, dim);
    sets.training = pixel_features(training, dim);
  } else {
    const Classifier classifier = classifier_of(o, train, test, reference);
    sets.samples = classifier.answers(samples.images).features;
    sets.reference = classifier.answers(reference).features;
    sets.training = classifier.answers(training).features;
    report["classifier"] = classifier.history();
  }
  return sets;
}

Compared compare_features(const EvalOptions& o, Json& report) {
  ITO_USER_CHECK(!o.features_given || o.features == "given", "--features ", o.features, ": ", o.samples,
                 " holds features, not images; leave the flag out");
  ITO_USER_CHECK(holds_features(o.data), o.data, ": is no file of features; those of ", o.samples,
                 " are compared with features of the same kind");
  Compared sets;
  sets.samples = read_features(o.samples);
  report["features"] = "given";
  if (!sets.samples.is_statistics()) report["samples"] = sets.samples.count;
  take_reference(o, sets, report);
  return sets;
}

struct Result {
  std::string name;
  double of_samples;
  std::optional<double> of_training;
};

// Into the report and the results, by the names of the values.
void measure(const EvalOptions& o, const Metric& metric, const Compared& sets, Json& report,
             std::vector<Result>& results) {
  MetricSettings settings;
  settings.threads = o.threads ? o.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  settings.projections = o.projections;
  settings.seed = o.seed;
  settings.neighbours = o.neighbours;
  std::atomic<int64_t> done{0};
  settings.progress = &done;
  check_measurable(metric, sets.samples, sets.reference);
  int64_t work = metric.work(sets.samples, sets.reference, settings);
  if (sets.training) work += metric.work(*sets.training, sets.reference, settings);
  const double points = static_cast<double>(sets.samples.count + sets.reference.count);
  std::optional<Progress> progress;
  if (static_cast<double>(work) * points * static_cast<double>(sets.samples.dim) > kSlow) {
    progress.emplace(metric.name, work, 1, "points");
    progress->watch([&done] { return done.load(); });
  }
  MetricResult of_samples = metric.measure(sets.samples, sets.reference, settings), of_training;
  if (sets.training) of_training = metric.measure(*sets.training, sets.reference, settings);
  for (size_t i = 0; i < of_samples.values.size(); ++i) {
    const auto& [name, value] = of_samples.values[i];
    report[name] = value;
    results.push_back({name, value, {}});
    if (!sets.training) continue;
    results.back().of_training = of_training.values[i].second;
    report[name + "_of_training_images"] = of_training.values[i].second;
  }
  report["parameters"][metric.name] = std::move(of_samples.parameters);
}

void print_report(const EvalOptions& o, const Compared& sets, const std::vector<Result>& results, const Json& report) {
  if (!sets.classes.empty()) {
    print_result(fmt::format("classes found at least {} times among {} samples: {} of {} (nearest class mean)",
                             o.at_least, sets.samples.count, report["classes_found"].get<int>(), sets.classes.size()));
    for (const std::string& name : sets.classes)
      print_result(fmt::format("  {:<14} {}", name, report["classes"][name].get<int>()));
  }
  print_result(fmt::format("compared with {}: {}, {} numbers each{}", sets.reference_is,
                           report["features"].get<std::string>(), sets.samples.dim,
                           sets.training ? "; in brackets the same of as many training images" : ""));
  for (const Result& r : results)
    print_result(fmt::format("  {:<20} {:.6g}", r.name, r.of_samples) +
                 (r.of_training ? fmt::format(" ({:.6g})", *r.of_training) : ""));
}

void run(const EvalOptions& o) {
  check(o);
  const std::vector<const Metric*> chosen = chosen_metrics(o);
  set_device_threads(o.threads);
  Json report = Json::object();
  const bool features = holds_features(o.samples);
  ITO_USER_CHECK(features || o.features != "given", o.samples,
                 ": holds no features; expected an .npz file with arr_0 (N, D), or mu (D) and sigma (D, D)");
  const Compared sets = features ? compare_features(o, report) : compare_images(o, report);
  report["dimensions"] = sets.samples.dim;
  std::vector<Result> results;
  for (const Metric* metric : chosen) measure(o, *metric, sets, report, results);
  if (!o.out.empty()) write_json_file(o.out, report);
  if (o.json)
    print_json(report, 2);
  else
    print_report(o, sets, results, report);
}

std::string metrics_help() {
  std::string text = "Metrics:\n";
  for (const Metric* metric : metrics()) text += join_text("  ", metric->name, ": ", metric->summary, "\n");
  text += "Networks for --features NAME:WEIGHTS, WEIGHTS a safetensors file:\n";
  for (const FeatureNetworkKind* kind : feature_networks())
    text += join_text("  ", kind->name, ": ", kind->summary, "\n");
  text +=
      "Numbers of one name differ for three usual reasons: other weights, another resize (filter, antialiasing, on\n"
      "floats or on whole levels), and images that were not rounded to 8 bits. The report says all three.\n";
  return text;
}

}  // namespace

void add_eval_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("eval", "judge samples against a data set");
  auto o = std::make_shared<EvalOptions>();
  command->option_defaults()->always_capture_default();
  command
      ->add_option("--samples", o->samples,
                   "safetensors with `samples` (N, C, H, W) in [-1, 1]; or .npz with `arr_0`: bytes (N, H, W, C), or "
                   "features (N, D); or .npz with their `mu` and `sigma`; or safetensors with `features` (N, D)")
      ->required();
  command
      ->add_option(
          "--data", o->data,
          "the data set, as for train; where features are compared that are not the data's own, also a file of "
          "those of the data, or of their `mu` and `sigma`")
      ->required();
  command->add_option("--metrics", o->metrics, "some of those below, with commas between them, or all")->delimiter(',');
  CLI::Option* features =
      command->add_option("--features", o->features,
                          "what is compared: pixels; classifier, the activations of a small network that is "
                          "trained on the data's classes; NAME:WEIGHTS, a network of those below with weights of "
                          "yours; given, where --samples are features");
  command->add_option("--classifier", o->classifier,
                      "folder of that network: trained into it where it does not exist, else read from it");
  command->add_option("--projections", o->projections, "random directions of the sliced Wasserstein distance");
  command->add_option("--neighbours", o->neighbours, "k of the nearest-neighbour metrics; 0: 3 and 5, as their papers");
  command->add_option("--test-images", o->test_images, "images of the test split compared with");
  command->add_option("--at-least", o->at_least, "how often a class must occur to count as found");
  command->add_option("--seed", o->seed, "seed of the directions and of the classifier");
  command->add_option("--threads", o->threads, "threads; 0: all cores. The numbers do not depend on it");
  command->add_option("--out", o->out, "JSON file to write with the results and what they depend on");
  command->add_flag("--json", o->json, "print them as JSON");
  command->footer(metrics_help);
  command->callback([o, features] {
    o->features_given = features->count() > 0;
    run(*o);
  });
}

}  // namespace ito
