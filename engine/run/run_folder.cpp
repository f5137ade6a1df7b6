// SPDX-License-Identifier: Apache-2.0
// See run_folder.h.
#include "engine/run/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "engine/checkpoint/directory.h"
#include "engine/checkpoint/find_model.h"
#include "engine/checkpoint/names.h"
#include "engine/checkpoint/weights.h"
#include "engine/data/file_pattern.h"
#include "engine/io/chart.h"
#include "engine/io/option_name.h"
#include "engine/run/ema_snapshots.h"
#include "engine/run/name_json.h"
#include "engine/run/preview.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

}  // namespace

RunFolder::RunFolder(const RunConfig& run, const Component& component, const SchedulerConfig& scheduler,
                     const RunIdentity& identity, Communicator& ranks)
    : run_(run),
      emas_(emas_of(run.ema, run.ema_decay, option_name("ema"))),
      component_(component),
      scheduler_(scheduler),
      identity_(identity),
      ranks_(ranks) {
  if (ranks.rank() == 0) claim();
  ranks.barrier();
}

void RunFolder::claim() {
  std::error_code error;
  fs::create_directories(run_.out, error);
  ITO_USER_CHECK(!error, option_name("out"), " ", run_.out, ": cannot be created: ", error.message(),
                 "; choose another folder");
  if (!run_.resume) {
    const std::optional<FoundCheckpoint> checkpoint = newest_checkpoint(run_.out, {component_.folder});
    std::string found = checkpoint ? checkpoint_name(checkpoint->step) : "";
    for (const char* name : {"latest", "metrics.jsonl", "config.json"})
      if (fs::exists(path(name))) found = name;
    ITO_USER_CHECK(found.empty(), option_name("out"), " ", run_.out, ": holds a run already (", found,
                   "); go on with it (", option_name("resume"), "), choose another folder or remove it");
  }
  lock();
  remove_leftovers(run_.out);
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);
}

// The system lets go of it when the process ends, however it ends. File systems without such locks go without.
void RunFolder::lock() {
  lock_ = ::open(run_.out.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool taken = lock_ >= 0 && ::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (taken) ::close(std::exchange(lock_, -1));  // no destructor runs after a constructor that throws
  ITO_USER_CHECK(!taken, option_name("out"), " ", run_.out,
                 ": another training run is writing there; wait for it or stop it");
}

int64_t RunFolder::start(Trainer& trainer) {
  std::optional<FoundCheckpoint> checkpoint;
  if (run_.resume) checkpoint = newest_checkpoint(run_.out, {component_.folder});
  const int64_t done = checkpoint ? checkpoint->step : 0;
  if (checkpoint) restore(trainer, *checkpoint);
  ranks_.barrier();  // all have read what is written anew
  if (checkpoint) latest_ = checkpoint_name(done);
  if (ranks_.rank() == 0) open_logs(done);
  return done;
}

void RunFolder::open_logs(int64_t done) {
  write_json_file(path("config.json"), configuration());
  const auto number = [](const Json& line, const char* key) {
    const Json value = line.value(key, Json());  // null: the log's word for NaN
    return value.is_number() ? value.get<double>() : NAN;
  };
  for (const Json& line : metrics_.open(path("metrics.jsonl"), done)) {
    logged_steps_.push_back(number(line, "step"));
    logged_losses_.push_back(number(line, "loss"));
  }
  timings_.open(path("timings.jsonl"), done);
  if (run_.tensorboard) events_.emplace(path("tensorboard"), done);
  if (run_.resume) remove_pictures_past(done);
  logged_step_ = done;
  if (!latest_.empty()) {
    write_latest(run_.out, latest_);
    prune_checkpoints(run_.out, done, run_.keep_last, run_.keep_every);
  } else if (fs::exists(path("latest"))) {
    fs::remove(path("latest"));  // it names nothing that is whole
  }
}

Json RunFolder::configuration() const {
  Json all = run_.json();
  const auto is_relative = [](const std::string& name) {
    return fs::path(name).is_relative() && is_path_of_data(name);
  };
  if (!is_relative(run_.data) && !is_relative(run_.model) && !is_relative(run_.init) && !is_relative(run_.scheduler))
    return all;
  std::error_code error;
  const fs::path here = fs::canonical(".", error), out = fs::canonical(run_.out, error);
  if (!error) all[kStartedIn] = json_of_name(here.lexically_relative(out).string());
  return all;
}

// What the steps that are lost have drawn: it is drawn anew, or not, as the options of this start say.
void RunFolder::remove_pictures_past(int64_t step) const {
  std::vector<fs::path> doomed;
  for (const auto& item : fs::directory_iterator(run_.out)) {
    const std::optional<int64_t> drawn = step_of_preview(item.path().filename().string());
    if (drawn && *drawn > step && item.is_regular_file()) doomed.push_back(item.path());
  }
  remove_ema_snapshots_past(run_.out, step);
  for (const fs::path& picture : doomed) fs::remove(picture);
  if (logged_steps_.empty())
    fs::remove(path("loss.svg"));
  else
    write_loss_chart();
}

void RunFolder::restore(Trainer& trainer, const FoundCheckpoint& checkpoint) {
  const ModelFiles files = find_model(checkpoint.path, {component_.folder});
  check_architecture(identity_, checkpoint.path, read_json_file(files.config));
  check_scheduler(identity_, checkpoint.path, read_scheduler(files));
  const TrainingSnapshot snapshot = read_snapshot(files.state, trainer.layout());
  const Json stored = fs::exists(path("config.json")) ? read_json_file(path("config.json")) : Json();
  check_identity(identity_, snapshot, stored, checkpoint.path);
  check_kernels(identity_, snapshot, checkpoint.path);
  ITO_USER_CHECK(snapshot.state.step == checkpoint.step, files.state, ": is of step ", snapshot.state.step,
                 ", its folder is named for ", checkpoint.step, "; give the folder its own name back");
  ITO_USER_CHECK(checkpoint.step <= run_.steps, option_name("steps"), " ", run_.steps, ": ", checkpoint.path,
                 " is past it; ask for more steps");
  trainer.upload(Trainer::Arena::Weights, snapshot.weights.values);
  trainer.upload(Trainer::Arena::FirstMoment, snapshot.first_moment.values);
  trainer.upload(Trainer::Arena::SecondMoment, snapshot.second_moment.values);
  trainer.upload(Trainer::Arena::Ema, read_weights(files.weights, trainer.layout()));
  for (int e = 1; e < trainer.ema_count(); ++e)
    trainer.upload(Trainer::ema_arena(e),
                   read_weights((fs::path(files.weights).parent_path() / average_file(emas_.at(e).name)).string(),
                                trainer.layout()));
  trainer.set_state(snapshot.state);
  if (files.statistics.empty())
    warn(checkpoint.path, ": has no ", kStatisticsFile, "; what the run measures by timestep begins anew");
  else
    trainer.set_statistics(read_level_statistics(files.statistics, scheduler_.num_train_timesteps));
  trainer.set_level_losses(snapshot.level_losses);
}

std::string RunFolder::path(const std::string& name) const {
  return (fs::path(run_.out) / name).string();
}

std::string RunFolder::log(Trainer& trainer, double seconds, double waited, const std::optional<RankTimes>& ranks) {
  const TrainState state = trainer.state();
  const double loss = state.loss_count ? state.loss_sum / static_cast<double>(state.loss_count) : NAN;
  logged_steps_.push_back(static_cast<double>(state.step));
  logged_losses_.push_back(loss);
  const Json line = {{"step", state.step},
                     {"loss", loss},
                     {"gradient_norm", state.gradient_norm},
                     {"learning_rate", state.learning_rate},
                     {"ema_decay", state.ema_decay},
                     {"skipped", state.skipped}};
  metrics_.append(line);
  const double elapsed = seconds - logged_seconds_;
  const double images = static_cast<double>((state.step - logged_step_) * run_.batch);
  const double share = std::clamp((waited - logged_wait_) / elapsed, 0.0, 1.0);
  Json timing = {{"step", state.step},       {"seconds", seconds},         {"images_per_second", images / elapsed},
                 {"waited_for_data", share}, {"passes", trainer.passes()}, {"pass_images", trainer.pass_images()}};
  std::string of_ranks;
  if (ranks) {
    timing.update(
        {{"waited_for_ranks", ranks->waited}, {"exchange", ranks->exchange}, {"slowest_rank", ranks->slowest}});
    of_ranks = fmt::format(", {:.0f}% exchanging, {:.0f}% waiting for rank {}", 100 * ranks->exchange,
                           100 * (ranks->waited - ranks->exchange), ranks->slowest);
  }
  timings_.append(timing);
  if (events_) events_->add(line, timing);
  logged_seconds_ = seconds;
  logged_wait_ = waited;
  logged_step_ = state.step;
  // Looked at here and not after every step, which would make the host wait for the device: the run may thus go on past
  // the limit until the next line. Nothing is lost by it, since a skipped step leaves the weights as they were.
  const bool goes_on = state.skipped_in_row == state.most_skipped_in_row;
  if (run_.max_skipped != 0 && state.most_skipped_in_row >= run_.max_skipped)
    fail<RunEnded>("step ", state.step, ": ", goes_on ? "the last " : "", state.most_skipped_in_row, " steps ",
                   goes_on ? "" : "in a row before it ", "had a non-finite loss or gradient and were skipped (",
                   option_name("max_skipped"), " ", run_.max_skipped, "); ",
                   latest_.empty() ? "no checkpoint was written yet" : path(latest_) + " is whole",
                   "; look at the data, or start a new run with a lower ", option_name("lr"));
  return fmt::format("loss {:.4f}, {:.0f}% waiting for data{}", loss, 100 * share, of_ranks);
}

void RunFolder::write_checkpoint(Trainer& trainer, int64_t step) {
  TrainingSnapshot snapshot;
  const LevelStatistics statistics = trainer.statistics();
  snapshot.state = trainer.state();
  snapshot.seed = run_.seed;
  snapshot.configuration_hash = identity_.configuration_hash;
  snapshot.data_fingerprint = identity_.data_fingerprint;
  snapshot.kernels = identity_.kernels;
  snapshot.kernel_table = {.source = "", .device = device_name(), .choices = trainer.kernel_choices()};
  snapshot.level_losses = trainer.level_losses();
  snapshot.weights = trainer.download_part(Trainer::Arena::Weights);
  snapshot.first_moment = trainer.download_part(Trainer::Arena::FirstMoment);
  snapshot.second_moment = trainer.download_part(Trainer::Arena::SecondMoment);
  if (ranks_.rank() == 0) {
    metrics_.sync();
    timings_.sync();
  }
  for (int e = 1; e < trainer.ema_count(); ++e)
    snapshot.averages.push_back({emas_.at(e).name, trainer.download_part(Trainer::ema_arena(e))});
  const std::string name = checkpoint_name(step);
  write_model(path(name), component_, scheduler_, trainer.layout(), trainer.download_part(Trainer::Arena::Ema),
              &snapshot, &statistics, ranks_.size() > 1 ? &ranks_ : nullptr);
  latest_ = name;
  if (ranks_.rank() > 0) return;
  write_latest(run_.out, latest_);
  write_loss_chart();
  prune_checkpoints(run_.out, step, run_.keep_last, run_.keep_every);
}

bool RunFolder::wants_snapshot(int64_t step) const {
  return run_.ema_snapshots != 0 && (step % run_.ema_snapshots == 0 || step == run_.steps);
}

void RunFolder::write_ema_snapshot(Trainer& trainer, int64_t step) {
  std::vector<SnapshotAverage> averages;
  for (int e = 0; e < trainer.ema_count(); ++e)
    if (emas_.at(e).sigma_rel > 0)
      averages.push_back({emas_[e].sigma_rel, trainer.download_part(Trainer::ema_arena(e))});
  ito::write_ema_snapshot(run_.out, step, trainer.state().applied, trainer.layout(), averages,
                          ranks_.size() > 1 ? &ranks_ : nullptr);
}

void RunFolder::log_preview(int64_t step) {
  if (events_) events_->add_picture(step, path(preview_name(step)));
}

void RunFolder::write_loss_chart() const {
  if (logged_steps_.empty()) return;
  write_line_chart(path("loss.svg"), "Training loss", "step", "loss", {{"loss", logged_steps_, logged_losses_}}, true);
}

}  // namespace ito
