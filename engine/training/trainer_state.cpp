// SPDX-License-Identifier: Apache-2.0
// What a trainer keeps from step to step, to the host and back: the arenas, the state, what was measured by level. The
// steps are in trainer.cpp.
#include <algorithm>

#include "engine/checkpoint/weights.h"
#include "engine/training/trainer.h"
#include "kernels/error.h"
#include "kernels/nn/pointwise.h"

namespace ito {
namespace {

bool is_moment(Trainer::Arena arena) {
  return arena == Trainer::Arena::FirstMoment || arena == Trainer::Arena::SecondMoment;
}

}  // namespace

void Trainer::set_weights(const std::vector<float>& weights) {
  upload(Arena::Weights, weights);
  for (int e = 0; e < ema_count(); ++e) upload(ema_arena(e), weights);
  first_moment_.zero(stream_);
  second_moment_.zero(stream_);
  TrainState initial{};
  initial.beta1_power = initial.beta2_power = 1.0;
  set_state(initial);
  level_sampler_.start(stream_);
}

DeviceBuffer<float>& Trainer::buffer_of(Arena arena) {
  if (arena >= Arena::Ema) return emas_[static_cast<int>(arena) - static_cast<int>(Arena::Ema)];
  DeviceBuffer<float>* buffers[] = {&weights_, &gradients_, &first_moment_, &second_moment_};
  return *buffers[static_cast<int>(arena)];
}

std::vector<float> Trainer::download(Arena arena) {
  return download(arena, {0, layout().arena_floats()}).values;
}

ArenaPart Trainer::download_part(Arena arena) {
  return download(arena, part_of_rank(layout(), ranks(), rank()));
}

void Trainer::gather_ema() {
  if (shared_) shared_->gather_arena(stream_, emas_[0].data());
}

// What is not there, beyond what is trained, is 0.
ArenaPart Trainer::download(Arena arena, const IndexRange& part) {
  const DeviceBuffer<float>& whole = gathered(arena);
  ArenaPart downloaded{part.first, std::vector<float>(part.count, 0.0f)};
  const int64_t there = std::clamp<int64_t>(static_cast<int64_t>(whole.count()) - part.first, 0, part.count);
  if (there > 0) copy_to_host(stream_, downloaded.values.data(), whole.data() + part.first, sizeof(float) * there);
  return downloaded;
}

// Moments of several ranks are brought together in the gradients' memory, which nobody reads between steps. Both are
// zero between tensors.
DeviceBuffer<float>& Trainer::gathered(Arena arena) {
  DeviceBuffer<float>& buffer = buffer_of(arena);
  if (!shared_ || arena == Arena::Weights) return buffer;  // the weights are whole at the end of every step
  DeviceBuffer<float>& whole = is_moment(arena) ? gradients_ : buffer;
  if (is_moment(arena)) {
    const float* part = buffer.data();
    for (const IndexRange& range : own_ranges_) {
      if (range.count > 0) copy_on_device(stream_, whole.data() + range.first, part, sizeof(float) * range.count);
      part += range.count;
    }
  }
  shared_->gather_arena(stream_, whole.data());
  return whole;
}

void Trainer::upload(Arena arena, const std::vector<float>& values) {
  DeviceBuffer<float>& buffer = buffer_of(arena);
  ITO_CHECK(values.size() >= buffer.count(), "an arena of ", values.size(), " floats given for one of ",
            buffer.count());
  if (is_moment(arena)) {
    float* part = buffer.data();
    for (const IndexRange& range : own_ranges_) {
      if (range.count > 0) copy_to_device(stream_, part, values.data() + range.first, sizeof(float) * range.count);
      part += range.count;
    }
    stream_.synchronize();
    return;
  }
  buffer.upload(stream_, values.data());
  if (arena == Arena::Weights && bf16_weights_.data())  // from here on the optimiser keeps it
    convert(stream_, bf16_weights_.data(), weights_.data(), static_cast<int64_t>(weights_.count()));
}

TrainState Trainer::state() {
  TrainState state;
  state_.download(stream_, &state);
  return state;
}

void Trainer::set_state(const TrainState& state) {
  next_step_ = state.step;
  state_.upload(stream_, &state);
}

LevelStatistics Trainer::statistics() {
  std::vector<double> sums(level_sums_.count());
  level_sums_.download(stream_, sums.data());
  LevelStatistics statistics;
  for (size_t level = 0; level < sums.size() / 2; ++level) {
    statistics.images.push_back(sums[2 * level]);
    statistics.error.push_back(sums[2 * level + 1]);
  }
  return statistics;
}

void Trainer::set_statistics(const LevelStatistics& statistics) {
  ITO_CHECK(statistics.timesteps() == schedule_steps_, "statistics of ", statistics.timesteps(),
            " timesteps given for ", schedule_steps_);
  std::vector<double> sums;
  for (int level = 0; level < schedule_steps_; ++level)
    sums.insert(sums.end(), {statistics.images[level], statistics.error[level]});
  level_sums_.upload(stream_, sums.data());
}

void Trainer::clear_logged() {
  TrainState current = state();
  current.loss_sum = 0;
  current.loss_count = 0;
  current.most_skipped_in_row = 0;
  set_state(current);
  if (shared_) shared_->clear_times(stream_);
}

}  // namespace ito
