// SPDX-License-Identifier: Apache-2.0
// ito measure: what an operator measures of images of a data set, y = H(x0) + s z, into a file that `ito restore`
// reads. The noise of an image is a function of the seed and the image's place in the data set.
#include <algorithm>
#include <filesystem>
#include <memory>

#include "engine/data/load_dataset.h"
#include "engine/inverse/host_operator.h"
#include "engine/io/atomic_file.h"
#include "engine/program/memory_check.h"
#include "kernels/random/host_normal.h"
#include "kernels/seams/memory_limit.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/restore/measurement_file.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

struct MeasureOptions {
  std::string data, split = "test", op, out;
  int64_t first = 0, count = 0;
  double sigma_y = 0;
  int height = 0, width = 0, threads = 0;
  uint64_t seed = 0;
};

void check(const MeasureOptions& o) {
  ITO_USER_CHECK(o.split == "train" || o.split == "test", "--split ", quote_name(o.split), ": expected train or test",
                 did_you_mean(o.split, {"train", "test"}));
  check_at_least<int64_t>("--count", o.count, 1);
  check_at_least<int64_t>("--first", o.first, 0);
  check_range("--sigma-y", o.sigma_y, 0.0, kMostSigmaY, ", in the units of data in [0, 1]");
  check_image_size(o.height, o.width);
  ITO_USER_CHECK((o.height > 0) == (o.width > 0), o.height ? "--height" : "--width",
                 ": is given alone; give both, or neither for images as they are");
  check_threads(o.threads);
  std::error_code none_there;
  ITO_USER_CHECK(!std::filesystem::equivalent(o.out, o.data, none_there), "--out ", o.out, ": is --data ", o.data,
                 "; choose another file");
}

Dataset load(const MeasureOptions& o) {
  LoadOptions options;
  options.height = o.height;
  options.width = o.width;
  options.split = o.split == "train" ? Split::Train : Split::Test;
  options.memory_limit = host_memory_limit();
  Dataset data = load_dataset(o.data, options);
  ITO_USER_CHECK(o.first < data.count, "--first ", o.first, ": ", o.data, " has images 0 to ", data.count - 1);
  ITO_USER_CHECK(o.count <= data.count - o.first, "--count ", o.count, ": ", o.data, " has ", data.count - o.first,
                 " images from --first on");
  return data;
}

// s z, z by the counter.
void add_noise(std::vector<float>& y, int64_t m, double s, uint64_t seed, int64_t first) {
  if (s == 0) return;
  for (size_t at = 0; at < y.size(); ++at) {
    const int64_t image = static_cast<int64_t>(at) / m, i = static_cast<int64_t>(at) % m;
    const Random4 bits = philox4x32(seed, static_cast<uint32_t>(i / 4), 0, static_cast<uint32_t>(first + image),
                                    purpose_word(Purpose::MeasurementNoise));
    y[at] = static_cast<float>(static_cast<double>(y[at]) + s * host_normal(bits, static_cast<int>(i % 4)));
  }
}

void run(const MeasureOptions& o) {
  check(o);
  set_device_threads(o.threads);
  const Dataset data = load(o);
  const ImageShape image{data.height, data.width, data.channels};
  HostOperator host(o.op, image);
  const int64_t m = host.op().measurements();
  check_memory(
      "measuring",
      {{"images",
        saturated_product({2 * sizeof(float), static_cast<size_t>(o.count), static_cast<size_t>(image.size())})},
       {"measurements", saturated_product({2 * sizeof(float), static_cast<size_t>(o.count), static_cast<size_t>(m)})}},
      host_memory_limit(), "lower the count");
  const AtomicFile probe(o.out);  // that it can be written
  Measurements made;
  made.count = o.count;
  made.truth.resize(static_cast<size_t>(o.count * image.size()));
  for (int64_t i = 0; i < o.count; ++i) {
    data.image_f32(o.first + i, false, made.truth.data() + i * image.size());
    if (!data.labels.empty()) made.labels.push_back(data.labels[static_cast<size_t>(o.first + i)]);
  }
  if (data.labels.empty() && data.label_width > 0) {
    made.value_width = data.label_width;
    const auto begin = data.label_values.begin() + o.first * data.label_width;
    made.values.assign(begin, begin + o.count * data.label_width);
  }
  made.y = host.apply(made.truth);
  add_noise(made.y, m, 2 * o.sigma_y, o.seed, o.first);
  write_measurements(o.out, host.op(), o.op, o.sigma_y, o.seed, made);
  print_result(o.out);
}

std::string operators_help() {
  std::string text = "Operators; several joined by + work one after the other, the first on the image:\n";
  for (const std::string& line : operator_lines()) text += "  " + line + "\n";
  return text;
}

}  // namespace

void add_measure_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("measure", "measure images with an operator and noise, for restore");
  auto o = std::make_shared<MeasureOptions>();
  command->option_defaults()->always_capture_default();
  command->add_option("--data", o->data, "the images: a data set, as for train, or samples")->required();
  command->add_option("--operator", o->op, "what is measured, NAME[:ARGS], of those below")->required();
  command
      ->add_option("--sigma-y", o->sigma_y,
                   "standard deviation of the noise, in the units of data in [0, 1]: images are in [-1, 1], and "
                   "have twice as much")
      ->required();
  command->add_option("--count", o->count, "images")->required();
  command->add_option("--out", o->out, "the safetensors file to write")->required();
  command->add_option("--split", o->split, "of the data: test or train");
  command->add_option("--first", o->first, "index of the first image");
  command->add_option("--seed", o->seed, "seed of the noise; that of image i is the same in every run of a seed");
  command->add_option("--height", o->height, "image height; 0: as they are");
  command->add_option("--width", o->width, "image width; 0: as they are");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->footer(operators_help);
  command->callback([o] { run(*o); });
}

}  // namespace ito
