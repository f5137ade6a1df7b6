// SPDX-License-Identifier: Apache-2.0
// ito eval: numbers for a file of samples against a data set: classes found, sliced Wasserstein distance.
#include <algorithm>
#include <cmath>
#include <memory>

#include "engine/data/load_dataset.h"
#include "engine/evaluate/nearest_mean.h"
#include "engine/evaluate/sliced_wasserstein.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "engine/io/layout.h"
#include "engine/io/safetensors.h"
#include "kernels/seams/memory_limit.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

constexpr int kMaxClasses = 1 << 16;

struct EvalOptions {
  std::string samples, data;
  int projections = 500, test_images = 2000, at_least = 2;
  uint64_t seed = 0;
  bool json = false;
};

std::vector<float> images_of(const Dataset& data, int64_t first, int64_t count) {
  std::vector<float> images(count * data.image_size());
  for (int64_t i = 0; i < count; ++i) data.image_f32(first + i, false, images.data() + i * data.image_size());
  return images;
}

std::string class_name(const Dataset& data, int k) {
  return k < static_cast<int>(data.class_names.size()) ? printable(data.class_names[k]) : std::to_string(k);
}

void run(const EvalOptions& o) {
  check_range("--projections", o.projections, 1, 1 << 20);
  check_at_least("--test-images", o.test_images, 1);
  check_at_least("--at-least", o.at_least, 1);
  const SafetensorsFile file = SafetensorsFile::open(o.samples);
  ITO_USER_CHECK(file.has("samples"), o.samples, ": has no tensor samples; expected what ito sample writes");
  const std::vector<int64_t> shape = file.entry("samples").shape;
  ITO_USER_CHECK(shape.size() == 4, o.samples, ": samples has ", shape.size(), " dimensions; expected (N, C, H, W)");
  for (size_t d = 0; d < 4; ++d)
    ITO_USER_CHECK(shape[d] >= 1 && shape[d] <= (d ? kMaxImageSide : 1 << 30), o.samples,
                   ": samples has a dimension of ", shape[d], "; expected images of 1 to ", kMaxImageSide, " a side");
  LoadOptions options;
  options.channels = static_cast<int>(shape[1]);
  if (o.data != "fashion-mnist") {
    options.height = static_cast<int>(shape[2]);
    options.width = static_cast<int>(shape[3]);
  }
  options.memory_limit = host_memory_limit();
  const Dataset train = load_dataset(o.data, options);
  options.split = Split::Test;
  const Dataset test = load_dataset(o.data, options);
  ITO_USER_CHECK(train.height == shape[2] && train.width == shape[3] && train.channels == shape[1], o.samples,
                 ": samples are ", shape[1], " x ", shape[2], " x ", shape[3], ", the data ", train.channels, " x ",
                 train.height, " x ", train.width, "; expected one size");
  ITO_USER_CHECK(train.class_count() <= kMaxClasses, o.data, ": has labels up to ", train.class_count() - 1,
                 "; expected at most ", kMaxClasses, " classes");
  const int64_t dim = train.image_size(), n = shape[0];
  const std::vector<float> samples =
      to_interleaved(file.read_floats("samples"), n, {train.height, train.width, train.channels});
  const auto bad = std::find_if(samples.begin(), samples.end(), [](float v) { return !std::isfinite(v); });
  ITO_USER_CHECK(bad == samples.end(), o.samples, ": samples has a value of ", *bad, "; expected finite numbers");

  Json report = {{"samples", n}};
  if (train.class_count() > 0) {
    const NearestMeanClassifier classifier(images_of(train, 0, train.count), train.labels, dim, train.class_count());
    std::vector<int> found(train.class_count(), 0);
    for (int64_t i = 0; i < n; ++i) ++found[classifier.classify(samples.data() + i * dim)];
    int often = 0;
    for (int k = 0; k < train.class_count(); ++k) {
      often += found[k] >= o.at_least;
      report["classes"][class_name(train, k)] = found[k];
    }
    report["classes_found"] = often;
  }
  const int64_t against = std::min<int64_t>(o.test_images, test.count);
  const std::vector<float> reference = images_of(test, 0, against);
  report["sliced_wasserstein"] = sliced_wasserstein(samples, reference, dim, o.projections, o.seed);
  const int64_t same = std::min<int64_t>(n, train.count);
  report["sliced_wasserstein_of_training_images"] =
      sliced_wasserstein(images_of(train, 0, same), reference, dim, o.projections, o.seed);
  if (o.json) {
    print_json(report, 2);
    return;
  }
  if (report.contains("classes")) {
    std::printf("classes found at least %d times among %lld samples: %d of %d (nearest class mean)\n", o.at_least,
                static_cast<long long>(n), report["classes_found"].get<int>(), train.class_count());
    for (int k = 0; k < train.class_count(); ++k)
      std::printf("  %-14s %d\n", class_name(train, k).c_str(), report["classes"][class_name(train, k)].get<int>());
  }
  std::printf("sliced Wasserstein distance to %lld test images: samples %.4f, as many training images %.4f\n",
              static_cast<long long>(against), report["sliced_wasserstein"].get<double>(),
              report["sliced_wasserstein_of_training_images"].get<double>());
}

}  // namespace

void add_eval_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("eval", "judge samples against a data set");
  auto o = std::make_shared<EvalOptions>();
  command->option_defaults()->always_capture_default();
  command->add_option("--samples", o->samples, "safetensors with `samples` (N, C, H, W) in [-1, 1]")->required();
  command->add_option("--data", o->data, "the data set, as for train")->required();
  command->add_option("--projections", o->projections, "random directions of the sliced Wasserstein distance");
  command->add_option("--test-images", o->test_images, "images of the test split compared with");
  command->add_option("--at-least", o->at_least, "how often a class must occur to count as found");
  command->add_option("--seed", o->seed, "seed of the directions");
  command->add_flag("--json", o->json, "as JSON");
  command->callback([o] { run(*o); });
}

}  // namespace ito
