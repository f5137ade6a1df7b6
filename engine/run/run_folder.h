// SPDX-License-Identifier: Apache-2.0
// The folder of a training run: config.json, metrics.jsonl (nothing that changes from run to run), timings.jsonl,
// loss.svg, samples-<step>.png, ema-<step>/, checkpoint-<step>/ and `latest`; tensorboard/ if asked for. Whenever the
// process is killed, what is there is a run that can be resumed: files and checkpoints appear whole, and metrics.jsonl
// is cut back to the checkpoint.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/checkpoint/component.h"
#include "engine/checkpoint/run_checkpoints.h"
#include "engine/diffusion/scheduler_config.h"
#include "engine/ranks/rank_times.h"
#include "engine/run/event_log.h"
#include "engine/run/run_config.h"
#include "engine/run/run_identity.h"
#include "engine/run/step_log.h"
#include "engine/training/ema_list.h"
#include "engine/training/trainer.h"

namespace ito {

// The end of a run that max_skipped asks for; its text is whole.
class RunEnded : public Error {
 public:
  using Error::Error;
};

// In config.json beside the options, if one of them is a relative name: the directory from which such names hold, from
// the run's folder ("..").
inline constexpr const char* kStartedIn = "started_in";

class RunFolder {
 public:
  // Creates the folder and keeps every other trainer out of it while this object lives; removes what a killed run left
  // half written. Refuses a folder that holds a run, unless run.resume. All ranks make one together, and call start and
  // write_checkpoint together: the first writes, and the others read, and write their parts of checkpoints.
  RunFolder(const RunConfig& run, const Component& component, const SchedulerConfig& scheduler,
            const RunIdentity& identity, Communicator& ranks);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  // With run.resume and a checkpoint: refuses options that would give other numbers, else puts the trainer where the
  // newest whole checkpoint was, cuts the logs back to it and removes the previews and
  // snapshots past it. Returns the steps done, 0
  // for a fresh start.
  int64_t start(Trainer& trainer);

  std::string path(const std::string& name) const;
  // Appends a line to metrics.jsonl and timings.jsonl from the trainer's running loss; returns it in short. seconds,
  // waited: since this start, in all and for data. ranks: since the last line. The first rank's to call.
  std::string log(Trainer& trainer, double seconds, double waited, const std::optional<RankTimes>& ranks);
  // A checkpoint, `latest`, the chart; then older checkpoints go as run.keep_last and run.keep_every say.
  void write_checkpoint(Trainer& trainer, int64_t step);
  // Whether the snapshots that run.ema_snapshots asks for have one after this step, and one: all ranks together.
  bool wants_snapshot(int64_t step) const;
  void write_ema_snapshot(Trainer& trainer, int64_t step);
  void write_loss_chart() const;
  void log_preview(int64_t step);  // which stands where preview_name says
  bool has_checkpoint() const { return !latest_.empty(); }
  std::string latest_checkpoint() const { return path(latest_); }

 private:
  void claim();
  void lock();
  void open_logs(int64_t done);
  Json configuration() const;
  void remove_pictures_past(int64_t step) const;
  void restore(Trainer& trainer, const FoundCheckpoint& checkpoint);

  RunConfig run_;
  std::vector<NamedEma> emas_;
  Component component_;
  SchedulerConfig scheduler_;
  RunIdentity identity_;
  Communicator& ranks_;
  int lock_ = -1;  // the folder itself, open
  StepLog metrics_, timings_;
  std::optional<EventLog> events_;
  std::vector<double> logged_steps_, logged_losses_;
  double logged_seconds_ = 0, logged_wait_ = 0;
  int64_t logged_step_ = 0;
  std::string latest_;
};

}  // namespace ito
