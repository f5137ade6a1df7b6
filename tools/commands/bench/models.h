// SPDX-License-Identifier: Apache-2.0
// A model's training step and reverse step, ready to be run once more.
#pragma once
#include <map>
#include <memory>

#include "engine/program/cost.h"
#include "engine/reverse/reverse_process.h"
#include "engine/training/trainer.h"
#include "tools/commands/bench/options.h"

namespace ito {

inline constexpr int kReverseSteps = 10;  // a repetition of sampling: its time is divided by them

// The work of one kind and batch, made at its first use and kept.
class ModelBench {
 public:
  explicit ModelBench(const BenchOptions& options);
  // Seconds of one training step or one reverse step.
  double run(const std::string& what, int batch);
  ExchangeTimes exchange_times(int batch);        // of training steps on several ranks, since the trainer was made
  Cost cost(const std::string& what, int batch);  // of the network in such a step, once it has run; of a rank's share

 private:
  double train(int batch);
  void step(Trainer& trainer, int batch);
  size_t memory_limit() const;
  double sample(int batch);
  LabelRows labels_of(int batch);  // class 0 of every image, or zeros, as the network wants them

  BenchOptions o_;
  NoiseSchedule schedule_;
  Network network_;
  DeviceBuffer<float> weights_;
  std::vector<float> images_;
  std::vector<int32_t> labels_;
  std::vector<float> values_;
  std::map<int, std::unique_ptr<Trainer>> trainers_;
  std::map<int, std::unique_ptr<ReverseProcess>> processes_;
};

}  // namespace ito
