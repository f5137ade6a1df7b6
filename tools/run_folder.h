// SPDX-License-Identifier: Apache-2.0
// The folder of a training run: config.json, metrics.jsonl (nothing that changes from run to run), timings.jsonl,
// loss.svg, samples-<step>.png, checkpoint-<step>/ and `latest`.
#pragma once
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "engine/diffusion/schedule.h"
#include "engine/reverse_process.h"
#include "engine/trainer.h"
#include "models/unet_config.h"
#include "tools/run_config.h"

namespace ito {

class RunFolder {
 public:
  // Creates the folder; refuses one that holds a run.
  RunFolder(const RunConfig& run, const UNetConfig& model, const SchedulerConfig& scheduler);

  std::string path(const std::string& name) const;
  // Appends a line to metrics.jsonl and timings.jsonl from the trainer's running loss; returns it in short.
  std::string log(Trainer& trainer, double seconds);
  void write_checkpoint(Trainer& trainer, int64_t step);
  void write_preview(Trainer& trainer, const Network& network, const NoiseSchedule& schedule, int64_t step);
  void write_loss_chart() const;
  std::string latest_checkpoint() const { return path(latest_); }

 private:
  RunConfig run_;
  UNetConfig model_;
  SchedulerConfig scheduler_;
  std::ofstream metrics_, timings_;
  std::vector<double> logged_steps_, logged_losses_;
  double logged_seconds_ = 0;
  int64_t logged_step_ = 0;
  std::string latest_;
  std::unique_ptr<ReverseProcess> preview_;
};

}  // namespace ito
