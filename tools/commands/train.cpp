// SPDX-License-Identifier: Apache-2.0
// ito train: from a data set to a checkpoint, with metrics, a loss curve and sample grids on the way.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "engine/checkpoint/kernel_table_file.h"
#include "engine/checkpoint/run_checkpoints.h"
#include "engine/checkpoint/weights.h"
#include "engine/data/load_dataset.h"
#include "engine/io/input_file.h"
#include "engine/ranks/agreement.h"
#include "engine/run/preview.h"
#include "engine/run/run_config.h"
#include "engine/run/run_folder.h"
#include "engine/run/train_settings.h"
#include "engine/training/batch_feed.h"
#include "engine/training/ema_list.h"
#include "engine/training/fit_memory.h"
#include "engine/training/trainer.h"
#include "kernels/seams/device.h"
#include "kernels/seams/memory_limit.h"
#include "kernels/seams/ranges.h"
#include "models/model.h"
#include "tools/commands/commands.h"
#include "tools/commands/flag_checks.h"
#include "tools/commands/option_file.h"
#include "tools/commands/profile_window.h"
#include "tools/commands/rank_work.h"
#include "tools/commands/run_options.h"
#include "tools/commands/weight_table.h"
#include "tools/init_model.h"
#include "tools/run_paths.h"
#include "tools/run_scheduler.h"
#include "tools/terminal/messages.h"
#include "tools/terminal/progress.h"
#include "tools/terminal/reading_watch.h"
#include "tools/terminal/results.h"
#include "tools/terminal/stop_signal.h"

namespace ito {
namespace {

// What the command line or --config names; of a run that goes on, the rest is what its checkpoint holds.
struct Given {
  bool model = false, scheduler = false, class_dropout = false;
  ProfileWindow profiled = {};
};

// image: what the model's configuration says of it.
// sharers: ranks of this host, each of which reads all of it.
Dataset load_data(const RunConfig& run, const ImageShape& image, int sharers) {
  LoadOptions options;
  // Other numbers of channels are nothing that images can be converted to; train() compares them.
  if (image.channels == 1 || image.channels == 3) options.channels = image.channels;
  options.height = options.width = run.resolution;
  if (!run.resolution && run.data != "fashion-mnist") {
    options.height = image.height;
    options.width = image.width;
  }
  options.threads = run.threads;
  options.stream = run.stream;
  options.memory_limit = host_memory_limit() / static_cast<size_t>(sharers);
  ReadingWatch watch(run.data);
  options.progress = watch.progress();
  return load_dataset(run.data, options);
}

// A run that goes on has its architecture and its noise schedule in its checkpoint, wherever they came from.
Model model_to_train(const RunConfig& run, const std::optional<FoundCheckpoint>& newest, const Given& given) {
  if (newest && !given.model) return read_model(newest->path);
  return run.init.empty() ? model_of(run.model) : read_model(run.init);
}
SchedulerConfig scheduler_to_train(RunConfig& run, const Model& model, const std::optional<FoundCheckpoint>& newest,
                                   const Given& given) {
  const std::string named = run.scheduler;
  if (newest && !given.scheduler) run.scheduler = newest->path;
  const SchedulerConfig scheduler =
      resolve_scheduler(run, model.files.scheduler, model.configured.scheduler.value_or(SchedulerConfig()));
  run.scheduler = named;
  return scheduler;
}

// Those of the model, as it was read, where it has any and no training has begun; else drawn by the seed.
std::vector<float> first_weights(const RunConfig& run, const Model& model, const ParameterLayout& layout) {
  if (!run.init.empty()) {
    TakenWeights taken = take_weights(model, layout, run.seed);
    print_note(taken.told + (run.scheduler.empty() ? "" : ", the noise schedule of --scheduler"));
    return std::move(taken.arena);
  }
  if (model.files.weights.empty()) return initial_weights(layout, run.seed);
  print_note("starting from the weights of " + model.files.weights);
  return read_weights(model.files.weights, layout);
}

// --print-weights: what a run with these options would train with.
void print_weights(RunConfig run, const Given& given, bool json) {
  const std::optional<FoundCheckpoint> newest =
      run.resume && !run.out.empty() ? newest_checkpoint(run.out, component_folders()) : std::nullopt;
  const Model model = model_to_train(run, newest, given);
  const SchedulerConfig scheduler = scheduler_to_train(run, model, newest, given);
  take_usual_training(run, model, scheduler, given.class_dropout);
  const LevelChoices chosen = resolve_levels(run, scheduler);
  check_weighting(run, train_loss_of(run.loss, scheduler, "--loss"));
  print_weight_table(NoiseSchedule(scheduler), chosen.weighting, chosen.draw, json);
}

// The error's text with what a resume would find. whole: the step after which the state is whole, between two steps; it
// is saved then if that can still be done (after a failed launch it cannot: the device gives nothing back; nor on one
// rank of several).
std::string with_what_is_left(const std::exception& e, RunFolder& folder, Trainer& trainer, int64_t step,
                              std::optional<int64_t> whole) {
  try {
    if (whole) folder.write_checkpoint(trainer, *whole);
  } catch (const std::exception&) {  // the first error is the one to report
  }
  const std::string left = folder.has_checkpoint() ? folder.latest_checkpoint() + " is whole: go on with --resume"
                                                   : "no checkpoint was written yet";
  return join_text("step ", step, ": ", e.what(), "; ", left);
}

// What all ranks have to have alike, and from which checkpoint they go on.
void check_ranks(Communicator& ranks, const RunConfig& run, const RunIdentity& identity, const Dataset& data,
                 const std::string& newest) {
  if (ranks.size() == 1) return;
  Json options = run.json();
  options.erase("threads");
  std::vector<RankFact> facts = facts_of_process();
  facts.push_back({"kernels", identity.kernels});
  facts.push_back(data_fact(data));
  facts.push_back({"options", options.dump()});
  facts.push_back({"model and options together", fmt::format("hash {:016x}", identity.configuration_hash)});
  facts.push_back({"folder", newest.empty() ? "no checkpoint to go on from" : newest});
  check_ranks_agree(ranks, facts);
}

// A run that ends within its warm-up, 500 steps unless told otherwise, never gets to the learning rate asked for.
void warn_of_warmup(const RunConfig& run, const LearningRateConfig& rate, int64_t first) {
  if (run.steps > run.warmup || first >= run.steps) return;
  warn("--warmup ", run.warmup, ": the run ends within it, at step ", run.steps, ", and its learning rate gets to ",
       learning_rate_at(rate, run.steps - 1), " of --lr ", run.lr, "; give a shorter --warmup or more --steps");
}

// Returns the exit code: 0, or 128 + the signal that stopped the run.
int train(RunConfig run, const Given& given, Communicator& ranks) {
  const bool alone = ranks.size() == 1, first_rank = ranks.rank() == 0;
  TrainSettings settings = train_settings(run);
  if (!alone) settings.ranks = &ranks;
  set_threads_of_rank(ranks, run.threads);
  ITO_USER_CHECK(!std::filesystem::exists(run.out) || std::filesystem::is_directory(run.out), "--out ", run.out,
                 ": is a file; expected a folder, or the name of one to make");
  const size_t free_memory = memory_of_rank(ranks, device_memory_limit());
  const size_t memory_limit =
      run.max_memory ? std::min(free_memory, static_cast<size_t>(run.max_memory) << 20) : free_memory;
  const std::optional<FoundCheckpoint> newest =
      run.resume ? newest_checkpoint(run.out, component_folders()) : std::nullopt;
  Model model = model_to_train(run, newest, given);
  if (newest) take_kernels_of(find_model(newest->path, component_folders()));
  const Model as_read = model;
  SchedulerConfig scheduler = scheduler_to_train(run, model, newest, given);
  if (scheduler.variance_type == VarianceType::LearnedRange) model = with_variance_outputs(std::move(model));
  take_usual_training(run, model, scheduler, given.class_dropout);
  settings.class_dropout = static_cast<float>(run.class_dropout);
  choose_loss(settings, run, scheduler);
  check_out_is_apart(run, model);
  const int channels = model.configured.image.channels;
  Dataset data = load_data(run, model.configured.image, ranks.local_size());
  settings.byte_images = data.byte_images();
  settings.last_term = settings.byte_images ? BoundTerm::Bytes : BoundTerm::Density;
  ITO_USER_CHECK(data.channels == channels, run.data, ": images have ", data.channels, " channels, the model takes ",
                 channels, "; choose another ", run.init.empty() ? "--model" : "--init");
  if (!run.init.empty() && !newest)
    model = with_classes_of_data(std::move(model), data.class_count(), run.class_dropout > 0);
  Component component = model.component(data.height, data.width);
  const Network network = model.network(data.height, data.width);
  const bool classes = network.labels == LabelKind::Index, labels = network.labels != LabelKind::None;
  if (network.labels == LabelKind::Value)
    data.want_values(network.label_width);
  else if (classes)
    data.want_classes();
  settings.data_bytes = data.bytes() + BatchFeed::bytes(data, ceil_div(run.batch, ranks.size()), labels);
  component.latents = data.latents;
  if (data.latents) scheduler.clip_sample = false;  // to a range that they do not have
  component.class_names = classes ? data.class_names : std::vector<std::string>{};
  const int taught = run.class_dropout > 0 ? network.real_classes() : network.classes;
  if (classes)
    ITO_USER_CHECK(data.class_count() > 0 && data.class_count() <= taught, run.data, ": has ", data.class_count(),
                   " classes, the model num_class_embeds ", network.classes,
                   taught < network.classes ? ", the last of which --class-dropout takes for no class" : "",
                   "; give it data with labels, or as many class embeddings as there are classes",
                   taught < network.classes ? " and one more" : "");

  check_outputs(network, scheduler, model.where);
  const NoiseSchedule schedule(scheduler);
  check_preview(schedule);
  check_timestep_count(network.time, "--model " + run.model, schedule.steps());
  ITO_USER_CHECK(!network.time.positive, "--model ", run.model, ": ", network.time.why,
                 "; training draws t = 0 too, so use a model that takes it");
  if (run.max_memory && !run.micro_batch)
    settings.micro_batch = largest_micro_batch(network, schedule, settings, memory_limit);
  Trainer trainer(network, schedule, settings, memory_limit);
  if (!newest) trainer.set_weights(first_weights(run, as_read, trainer.layout()));
  std::optional<Preview> preview;
  if (first_rank)
    preview.emplace(trainer, network, schedule, run.seed, !run.eager, memory_of_rank(ranks, device_memory_limit()),
                    data.label_values);
  RunIdentity identity = identity_of(run, component.config, scheduler, trainer.program(), data.fingerprint());
  identity.same_data = [&data](uint64_t fingerprint) { return data.answers_to(fingerprint); };
  check_ranks(ranks, run, identity, data, newest ? newest->path : "");
  const StopSignal stop;
  RunFolder folder(run, component, scheduler, identity, ranks);
  const int64_t first = folder.start(trainer);
  print_note(join_text(data.name, ": ", data.count, " images of ", data.height, " x ", data.width, " x ", data.channels,
                       data.source ? ", read as they are needed" : "", "; model ",
                       run.init.empty() ? run.model : run.init, ": ", trainer.layout().count(), " parameters; ",
                       trainer.planned_bytes() >> 20, " MiB planned",
                       alone ? "" : join_text(" on each of ", ranks.size(), " ranks"), "; ", trainer.cut()));
  if (run.resume && first)
    print_note("going on from " + folder.latest_checkpoint());
  else if (run.resume)
    print_note(run.out + " holds no checkpoint: starting from the beginning");
  warn_of_warmup(run, settings.learning_rate, first);

  BatchFeed feed(data, run.seed, run.batch, trainer.own_images(), labels, first, run.steps,
                 run.threads ? run.threads : cores_of_rank(ranks));
  const int64_t sample_every = run.sample_every ? run.sample_every : std::max<int64_t>(1, run.steps / 4);
  Progress progress("training", run.steps, run.batch, "images", first);
  std::string note;
  for (int64_t step = first; step < run.steps; ++step) {
    const int64_t done = step + 1;
    std::optional<int64_t> whole;
    if (alone && step > first) whole = step;
    const ProfileWindow::Step profiled(given.profiled, done, trainer.stream());
    try {
      const Range range("step " + std::to_string(done));
      const TrainBatch batch = feed.next(trainer.stream());
      whole.reset();
      trainer.step(batch);
      if (done % run.log_every == 0 || done == run.steps) {
        const ExchangeTimes exchanged = trainer.exchange_times();
        const std::optional<RankTimes> times = rank_times(ranks, exchanged.seconds, exchanged.seconds_waiting);
        if (first_rank) note = folder.log(trainer, progress.seconds(), feed.seconds_waited(), times);
        trainer.clear_logged();
      }
      progress.update(done, note);
      if (alone) whole = done;
      if (done % sample_every == 0 || done == run.steps) {
        trainer.gather_ema();
        if (preview) {
          preview->write(trainer, folder.path(preview_name(done)));
          folder.log_preview(done);
        }
      }
      if (folder.wants_snapshot(done)) folder.write_ema_snapshot(trainer, done);
    } catch (const RunEnded&) {
      throw;
    } catch (const UserError& e) {
      throw UserError(with_what_is_left(e, folder, trainer, done, whole));
    } catch (const std::exception& e) {
      throw Error(with_what_is_left(e, folder, trainer, done, whole));
    }
    const int stopped = of_any_rank(ranks, StopSignal::received());
    if ((run.checkpoint_every && done % run.checkpoint_every == 0) || done == run.steps || stopped)
      folder.write_checkpoint(trainer, done);
    if (stopped) {
      progress.finish();
      if (first_rank)
        print_error(join_text("stopped by ", StopSignal::name(stopped), " after step ", done, ": ",
                              folder.latest_checkpoint(), " is whole; go on with --resume"));
      return 128 + stopped;
    }
  }
  progress.finish();
  if (first_rank) folder.write_loss_chart();
  print_result("checkpoint " + folder.latest_checkpoint());
  print_result("loss curve " + folder.path("loss.svg"));
  return 0;
}

// Every weighting and draw with its numbers, for --help.
std::string choices_help() {
  std::string text = "Loss weightings, and the numbers that each takes behind a colon:\n";
  for (const std::string& line : weighting_lines()) text += "  " + line + "\n";
  text += "Draws of timesteps, in the same way:\n";
  for (const std::string& line : level_draw_lines()) text += "  " + line + "\n";
  text += "Learning rates after the warm-up:\n";
  for (const std::string& line : learning_rate_lines()) text += "  " + line + "\n";
  return text;
}

}  // namespace

void add_train_command(CLI::App& app, Communicator& ranks) {
  CLI::App* command = app.add_subcommand("train", "train a model on a data set");
  auto run = std::make_shared<RunConfig>();
  auto config_file = std::make_shared<std::string>();
  command->option_defaults()->always_capture_default();
  add_run_options(*command, *run);
  CLI::Option* model = command->get_option("--model");
  model->description(model->get_description() + "; names: " + list_names(named_models()));
  command->add_option("--config", *config_file, "JSON file of these options (underscores for dashes)");
  auto weights = std::make_shared<bool>(false), json = std::make_shared<bool>(false);
  command->add_flag("--print-weights", *weights,
                    "print weight and chance of every timestep, and train nothing; needs neither --data nor --out");
  command->add_flag("--json", *json, "with --print-weights: as JSON");
  auto profiled = std::make_shared<std::string>();
  command->add_option("--profile-steps", *profiled, ProfileWindow::kHelp);
  command->footer(choices_help);
  command->callback([run, config_file, command, weights, json, profiled, &ranks] {
    if (!config_file->empty()) apply_option_file(*command, *config_file);
    const std::string own_config = (std::filesystem::path(run->out) / "config.json").string();
    const bool goes_on = run->resume && !run->out.empty() && std::filesystem::exists(own_config);
    const Given given{command->count("--model") > 0, command->count("--scheduler") > 0,
                      goes_on || command->count("--class-dropout") > 0, ProfileWindow(*profiled)};
    if (goes_on) {
      find_named_files(*run, own_config, apply_option_file(*command, own_config));
      // A run from before there was a choice drew so; what is usual is for new ones.
      if (run->timestep_sampling.empty()) run->timestep_sampling = run->before().at("timestep_sampling");
      if (run->loss_weighting.empty()) run->loss_weighting = run->before().at("loss_weighting");
      if (run->loss.empty()) run->loss = run->before().at("loss");
    } else if (!run->out.empty()) {
      check_out_is_apart(*run);
    }
    ITO_USER_CHECK(*weights || !*json, "--json: is for what --print-weights prints; add it, or leave --json out");
    if (*weights) return print_weights(*run, given, *json);
    ITO_USER_CHECK(run->init.empty() || run->model == RunConfig().model, "--model ", run->model, ": --init ", run->init,
                   " has an architecture of its own; leave one of them out");
    ITO_USER_CHECK(!run->data.empty(), "train: --data is missing: fashion-mnist or a path");
    ITO_USER_CHECK(!run->out.empty(), "train: --out is missing: the folder of the run");
    if (const int code = train(*run, given, ranks)) throw EndWith{code};
  });
}

}  // namespace ito
