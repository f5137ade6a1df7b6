// SPDX-License-Identifier: Apache-2.0
// ito reverse-stats: measures a model on held-out images, by timestep, for the reverse options that need it.
#include <filesystem>
#include <memory>

#include "engine/checkpoint/names.h"
#include "engine/data/load_dataset.h"
#include "engine/io/json_file.h"
#include "engine/likelihood/reverse_statistics.h"
#include "engine/program/compute_type.h"
#include "kernels/seams/memory_limit.h"
#include "models/model_on_device.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/rank_work.h"
#include "tools/terminal/progress.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

struct ReverseStatsOptions {
  std::string checkpoint, data, out, precision = "fp32";
  int batch = 64, per_timestep = 16, threads = 0;
  uint64_t seed = 0;
};

// sharers: ranks of this host, each of which reads all of it.
Dataset load_held_out(const ReverseStatsOptions& o, const Network& network, int sharers) {
  LoadOptions options;
  options.channels = network.image.channels == 1 || network.image.channels == 3 ? network.image.channels : 0;
  if (o.data != "fashion-mnist") {
    options.height = network.image.height;
    options.width = network.image.width;
  }
  options.split = Split::Test;
  options.threads = o.threads;
  options.memory_limit = host_memory_limit() / static_cast<size_t>(sharers);
  return load_dataset(o.data, options);
}

void run(const ReverseStatsOptions& o, const CLI::App& command, Communicator& ranks) {
  check_batch(o.batch);
  check_threads(o.threads);
  check_range("--per-timestep", o.per_timestep, 1, 1 << 16);
  set_threads_of_rank(ranks, o.threads);
  const ModelOnDevice model = load_model(o.checkpoint, 0, 0);
  const Network& network = model.network;
  ITO_USER_CHECK(!o.out.empty() || !model.model.files.directory.empty(), "--out: ", o.checkpoint,
                 " is no folder to write ", kStatisticsFile, " into; give a file");
  const std::string out =
      o.out.empty() ? (std::filesystem::path(model.model.files.directory) / kStatisticsFile).string() : o.out;
  ITO_USER_CHECK(!std::filesystem::is_directory(out), "--out ", out, ": is a folder; expected the name of a file");
  const NoiseSchedule schedule(model.scheduler);
  check_timestep_count(network.time, model.model.where, schedule.steps());
  ITO_USER_CHECK(!network.time.positive, model.model.where, ": ", network.time.why,
                 "; it has no value at timestep 0, which is measured too");
  Dataset data = load_held_out(o, network, ranks.local_size());
  ITO_USER_CHECK(data.height == network.image.height && data.width == network.image.width, o.data, ": images are ",
                 data.height, " x ", data.width, ", the model takes ", network.image.height, " x ",
                 network.image.width);
  ITO_USER_CHECK(network.labels != LabelKind::Index || data.class_count() > 0, o.data,
                 ": has no labels, and the model is class-conditional; give it data with labels");
  if (network.labels == LabelKind::Value) data.want_values(network.label_width);

  StatisticsSettings settings;
  settings.batch = o.batch;
  settings.seed = o.seed;
  settings.per_timestep = o.per_timestep;
  settings.compute = compute_type_of(o.precision, "--precision");
  settings.memory_limit = memory_of_rank(ranks, device_memory_limit());
  const int64_t used = std::min<int64_t>(data.count, int64_t{schedule.steps()} * o.per_timestep);
  std::vector<float> images(used * data.image_size());
  Labels labels;
  if (network.labels == LabelKind::Value)
    labels.values.assign(data.label_values.begin(), data.label_values.begin() + used * network.label_width);
  for (int64_t i = 0; i < used; ++i) {
    data.image_f32(i, false, images.data() + i * data.image_size());
    if (network.labels == LabelKind::Index) labels.classes.push_back(data.labels[i]);
  }
  const ItemShares shares(ranks, int64_t{schedule.steps()} * o.per_timestep);
  check_ranks_alike(ranks, command, model, {data_fact(data)});
  std::vector<DrawMoments> draws;
  if (const IndexRange& own = shares.own(); own.count) {
    Progress progress(title_of_rank("measuring", ranks), own.count, 1, "images");
    draws = measure_draws(network, model.weights.data(), schedule, images, labels, settings, own.first, own.count,
                          [&](int64_t done) { progress.update(done, ""); });
  }
  shares.collect(draws);
  if (!shares.first_rank()) return;
  write_json_file(out, json_of(sum_of_draws(draws, schedule.steps())));
  print_result(join_text(out, ": ", schedule.steps(), " timesteps, ", o.per_timestep, " of ", used, " images of ",
                         data.name, " each"));
}

}  // namespace

void add_reverse_stats_command(CLI::App& app, Communicator& ranks) {
  CLI::App* command =
      app.add_subcommand("reverse-stats", "measure a model by timestep, for the reverse options that need it");
  auto o = std::make_shared<ReverseStatsOptions>();
  command->option_defaults()->always_capture_default();
  command->add_option("--checkpoint", o->checkpoint, "a run, a checkpoint or a diffusers directory")->required();
  command->add_option("--data", o->data, "held-out images, as for train: of a data set with splits the test split")
      ->required();
  command->add_option("--out", o->out, "file to write; empty: level_statistics.json of the model, in its place");
  command->add_option("--per-timestep", o->per_timestep, "noised images a timestep");
  command->add_option("--batch", o->batch, "images at a time");
  command->add_option("--seed", o->seed, "seed of the noise");
  command->add_option("--precision", o->precision, "fp32 or bf16");
  command->add_option("--threads", o->threads, "threads; 0: all cores");
  command->callback([o, command, &ranks] { run(*o, *command, ranks); });
}

}  // namespace ito
