// SPDX-License-Identifier: Apache-2.0
// The training step (Ho et al. 2020, algorithm 1) as one captured graph: draw t, noising, forward, loss, backward over
// the micro-batches, global-norm clip, AdamW, EMA, loss accumulation. The host gives the images, replays the graph and
// reads the state when it wants to know.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/diffusion/level_statistics.h"
#include "engine/diffusion/schedule.h"
#include "engine/diffusion/weighting.h"
#include "engine/program/buffer_list.h"
#include "engine/program/network.h"
#include "engine/training/learning_rate.h"
#include "engine/training/level_sampler.h"
#include "engine/training/shared_step.h"
#include "engine/training/train_batch.h"
#include "engine/training/train_loss.h"
#include "kernels/diffusion/forward_row.h"
#include "kernels/diffusion/variational.h"
#include "kernels/optim/gradient_norm.h"
#include "kernels/sum_tree.h"

namespace ito {

struct TrainSettings {
  int batch = 128;
  // Most images a pass, a multiple of images_per_chunk(): a pass takes the largest power of two of chunks that fits, so
  // that it is a subtree of the batch's sums (kernels/sum_tree.h), the last one what is left. 0: all images in one.
  int micro_batch = 0;
  uint64_t seed = 0;
  DType compute = DType::F32;
  LearningRateConfig learning_rate;
  OptimizerSettings optimizer;
  TrainLoss loss = TrainLoss::Squared;
  BoundTerm last_term = BoundTerm::Bytes;  // what L_0 of the bound is: Density for data that are no bytes
  LossWeighting weighting;                 // of the squared error
  LevelDrawChoice level_draw;
  bool byte_images = false;       // the batches' images are bytes
  bool flip = false;              // half of the images are mirrored
  float class_dropout = 0;        // the chance of an image to be taken without its class
  bool checkpoints = false;       // the caller takes checkpoints: their copies count where they are in the same memory
  size_t data_bytes = 0;          // what the caller keeps of images: counts where it is in the same memory
  Communicator* ranks = nullptr;  // that share every batch; null: this process alone. Outlives the trainer.
  int64_t bucket_bytes = 25'000'000;  // of gradients, about, that ranks exchange at once; no bit depends on it
  bool capture = true;                // false: launch every kernel of every step anew (the same bits; for debugging)
};

class Trainer {
 public:
  // Throws UserError if the sizes do not fit together or the plan exceeds memory_limit bytes.
  Trainer(const Network& network, const NoiseSchedule& schedule, const TrainSettings& settings,
          size_t memory_limit = SIZE_MAX);
  // What would be held against memory_limit; allocates nothing.
  static size_t bytes_needed(const Network& network, const NoiseSchedule& schedule, const TrainSettings& settings);

  const ParameterLayout& layout() const { return program().layout(); }
  const Program& program() const { return *programs_.front().program; }
  // The images of a batch that this rank's steps are given.
  IndexRange own_images() const { return images_of_ranks_[rank()]; }
  // How a step is cut: this rank's passes, and the images of the largest of them.
  int passes() const { return static_cast<int>(passes_.passes.size()); }
  int pass_images() const { return programs_.front().images; }
  std::string cut() const;       // "128 images a step in 4 passes of at most 32"
  size_t planned_bytes() const;  // everything the trainer keeps on the device
  KernelChoices kernel_choices() const;

  // Whole arenas on the host, in the layout's order. set_weights also sets every EMA and clears the optimiser. Of
  // several ranks all call download together, and a moment takes the place of the last step's gradients.
  void set_weights(const std::vector<float>& weights);
  enum class Arena { Weights, Gradients, FirstMoment, SecondMoment, Ema };  // Ema: the first average
  static Arena ema_arena(int number) { return static_cast<Arena>(static_cast<int>(Arena::Ema) + number); }
  int ema_count() const { return settings_.optimizer.ema_count; }
  std::vector<float> download(Arena arena);
  // Of several ranks each gets its part of what a checkpoint holds; of one, all.
  ArenaPart download_part(Arena arena);
  void gather_ema();  // the first, so that ema() is whole; of several ranks all call it
  void upload(Arena arena, const std::vector<float>& values);
  const float* ema() const { return emas_[0].data(); }  // device memory; of several ranks, whole after gather_ema

  // One step on a batch, of which this rank is given own_images().
  void step(const TrainBatch& batch);
  void step(const float* numbers, const LabelRows& labels) { step({.numbers = numbers, .labels = labels}); }
  TrainState state();  // waits for the device
  void set_state(const TrainState& state);
  // What the steps so far have measured of the network, by timestep; waits for the device.
  LevelStatistics statistics();
  void set_statistics(const LevelStatistics& statistics);
  // What the draw of levels has learnt; empty where it learns nothing.
  LevelLosses level_losses() { return level_sampler_.losses(stream_); }
  void set_level_losses(const LevelLosses& losses) { level_sampler_.set_losses(stream_, losses); }
  // Starts a new running mean of the loss, a new longest streak of skipped steps and new exchange_times.
  void clear_logged();
  // Of several ranks, what the exchange took of the steps; else nothing. Waits for the device.
  ExchangeTimes exchange_times() { return shared_ ? shared_->times(stream_) : ExchangeTimes{}; }
  Stream& stream() { return stream_; }

 private:
  struct Plan {};  // everything but memory
  Trainer(Plan, const Network& network, const NoiseSchedule& schedule, const TrainSettings& settings);
  ProgramOptions options_for(int images) const;
  void declare();                   // everything but the activations
  size_t data_bytes() const;        // where they count
  size_t checkpoint_bytes() const;  // likewise
  DeviceBuffer<float>& buffer_of(Arena arena);
  DeviceBuffer<float>& gathered(Arena arena);  // whole, of all ranks
  ArenaPart download(Arena arena, const IndexRange& part);
  SampleCounter counter_from(int offset) const;  // of the step's images from offset on
  void run_step();
  void unpack();  // the batch's images into x0_, and classes left out
  // A program for passes of so many images; those of a trainer share their memory.
  struct PassProgram {
    int images;
    std::unique_ptr<Program> program;
    NetworkInputs inputs;
  };
  void plan_shares();
  void plan_programs();
  PassProgram& program_of(const RankPass& pass);
  IndexRange images_of(const IndexRange& leaves) const;
  int rank() const { return settings_.ranks ? settings_.ranks->rank() : 0; }
  int ranks() const { return settings_.ranks ? settings_.ranks->size() : 1; }
  void run_pass(const RankPass& pass, bool last);
  void join_passes(const TreeArrival& arrival, const IndexRange& floats);
  void share_losses();
  void share_bucket(int number, const RankPass& last);
  void update();
  // made: called once the losses are; after_op: see Program::backward.
  void micro_step(Program& program, const NetworkInputs& inputs, int offset, const std::function<void()>& made,
                  const std::function<void(int)>& after_op);
  void take_loss(Program& program, const SampleCounter& counter, int offset);  // with its gradient
  float* gradients_of(int slot) { return slot == 0 ? gradients_.data() : waiting_[slot - 1].data(); }
  size_t activation_bytes() const;

  Network network_;
  TrainSettings settings_;
  int schedule_steps_;
  LevelSampler level_sampler_;
  int64_t next_step_ = 0;  // what the device's state will say, known without waiting for it
  std::vector<IndexRange> images_of_ranks_;
  PassPlan passes_;
  std::vector<PassProgram> programs_;   // the largest first
  const Program* packed_ = nullptr;     // whose weights stand in the shared memory
  std::optional<SharedStep> shared_;    // of several ranks
  std::vector<IndexRange> own_ranges_;  // of the arena that the optimiser walks: what this rank updates
  DeviceBuffer<char> activations_;
  Stream stream_{"training"};
  Graph graph_;
  bool warm_ = false;
  DeviceBuffer<float> weights_, gradients_;
  DeviceBuffer<float> emas_[kMostEmas];               // ema_count() of them
  DeviceBuffer<float> first_moment_, second_moment_;  // of own_ranges_ alone, one after the other
  DeviceBuffer<bf16> bf16_weights_;                   // of all weights, where an op of the network reads it
  std::vector<DeviceBuffer<float>> waiting_;  // gradients of further subtrees of passes; gradients_ is the first
  DeviceBuffer<TrainState> state_;
  DeviceBuffer<float> learning_rates_;
  DeviceBuffer<uint8_t> bytes_;    // the step's images, where they are bytes
  DeviceBuffer<float> unflipped_;  // the same, where they are floats and some are mirrored
  DeviceBuffer<float> x0_, loss_;
  DeviceBuffer<float> squared_;  // errors by image, where the loss is another
  DeviceBuffer<VariationalRow> bound_rows_;
  DeviceBuffer<int32_t> labels_;
  DeviceBuffer<float> label_values_;        // (N, label_width), where labels are real-valued
  DeviceBuffer<ForwardRow> levels_, rows_;  // of every timestep; of every image of the step
  DeviceBuffer<double> level_sums_;         // (T, 2), of accumulate_by_level
  DeviceBuffer<double> norm_partials_;
  BufferList buffers_;  // of all these, without the activations, until they are allocated
  size_t buffer_bytes_ = 0;
};

}  // namespace ito
