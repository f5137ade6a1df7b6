// SPDX-License-Identifier: Apache-2.0
// See reverse_process.h. Whole batches only; what is past the count is drawn and dropped.
#include "engine/reverse/reverse_process.h"

#include <algorithm>

#include "engine/program/memory_check.h"
#include "kernels/diffusion/noising.h"
#include "kernels/nn/pointwise.h"
#include "kernels/random/philox.h"

namespace ito {

ReverseProcess::ReverseProcess(const Network& network, std::vector<ReverseCoefficients> table, const float* weights,
                               const ReverseSettings& settings)
    : network_(network),
      settings_(settings),
      steps_(static_cast<int>(table.size())),
      program_({settings.batch, Mode::Inference, settings.compute}) {
  ITO_USER_CHECK(settings.batch >= 1, "batch ", settings.batch, ": expected at least 1");
  ITO_CHECK(steps_ > 0, "a reverse process of no steps");
  ITO_USER_CHECK(network.labels != LabelKind::Value,
                 "sampling from a network with real-valued class labels is not implemented");
  const bool learned = table.front().learned_variance != 0;
  ITO_USER_CHECK(network.out_channels == (learned ? 2 : 1) * network.image.channels, "the network has ",
                 network.out_channels, " output channels for ", network.image.channels,
                 " of data, but the scheduler's ", "variance is ", learned ? "learned" : "fixed",
                 "; change variance_type");
  inputs_ = plan_network(program_, network_);
  check_memory(
      "sampling",
      {{"network", program_.plan().bytes() + sizeof(float) * 5 * settings.batch * network_.image.size()},  // x, slots
       {"weights", sizeof(float) * program_.layout().arena_floats()},
       {"images", settings.kept_images}},
      settings.memory_limit, "lower the batch, the count or the image size");
  program_.bind(weights, nullptr);
  table_ = {table.size(), "sampler coefficients"};
  table_.upload(stream_, table.data());
  counters_ = {3, "step counter"};
  const size_t floats = static_cast<size_t>(settings.batch) * network_.image.size();
  x_ = {floats, "the state of the reverse process"};
  for (Slot& slot : slots_) {
    slot.finished = {floats, "finished images"};
    slot.images = {floats, "finished images"};
  }
  steps_done_ = {1, "the count of steps"};
  *steps_done_.data() = 0;
  pack();
}

void ReverseProcess::pack() {
  program_.pack(stream_);
}

void ReverseProcess::launch_step() {
  const int n = settings_.batch;
  SampleCounter counter;
  counter.seed = settings_.seed;
  counter.step = counters_.data();
  counter.first_on_device = counters_.data() + 1;
  counter.counter_uses_step = true;
  const DataRef sample = program_.data(inputs_.sample);
  set_timesteps(stream_, program_.data(inputs_.timestep).as<float>(), table_.data(), counters_.data(), n);
  program_.forward(stream_);
  reverse_step(stream_, x_.data(), sample, nullptr, program_.data(program_.output()), table_.data(), counter, n,
               network_.image.height * network_.image.width, network_.image.channels);
  advance_step(stream_, counters_.data(), counters_.data() + 2, steps_done_.data());
}

void ReverseProcess::begin(int64_t first, const float* initial_noise, const int32_t* labels) {
  ITO_CHECK(started_ - collected_ < 2, "a third batch started before the first was collected");
  const int64_t start[3] = {0, first, started_ * steps_};
  copy_to_device(stream_, counters_.data(), start, sizeof start);
  SampleCounter counter;
  counter.seed = settings_.seed;
  counter.first_on_device = counters_.data() + 1;
  if (initial_noise)
    copy_to_device(stream_, x_.data(), initial_noise, x_.bytes());
  else
    fill_normal(stream_, x_.data(), counter, purpose_word(Purpose::InitialNoise), settings_.batch,
                network_.image.size());
  convert(stream_, program_.data(inputs_.sample), x_.data(), static_cast<int64_t>(x_.count()));
  if (network_.labels == LabelKind::Index) {
    ITO_CHECK(labels, "a class-conditional network sampled without classes");
    copy_to_device(stream_, program_.data(inputs_.labels).as<int32_t>(), labels, settings_.batch * sizeof(int32_t));
  }
}

// A first step of the batch that begin has prepared, and then the beginning anew.
void ReverseProcess::warm(int64_t first, const float* initial_noise, const int32_t* labels) {
  const int64_t done = steps_done();
  stream_.warm([this] { launch_step(); });
  if (steps_done() == done) return;  // nothing ran
  __atomic_store_n(steps_done_.data(), done, __ATOMIC_RELAXED);
  begin(first, initial_noise, labels);
}

// x moves aside at once, so that the next batch may begin; from there it goes to the host on a stream of its own.
void ReverseProcess::send_out() {
  Slot& slot = slots_[started_ % 2];
  if (started_ >= 2) stream_.wait(slot.copied);
  copy_on_device(stream_, slot.finished.data(), x_.data(), x_.bytes());
  stream_.record(ready_);
  copies_.wait(ready_);
  enqueue_copy_to_host(copies_, slot.images.data(), slot.finished.data(), slot.images.bytes());
  copies_.record(slot.copied);
  ++started_;
}

void ReverseProcess::start(int64_t first, const float* initial_noise, const int32_t* labels) {
  begin(first, initial_noise, labels);
  if (settings_.capture) {
    if (!loop_) {
      warm(first, initial_noise, labels);
      loop_ = stream_.capture_loop(steps_, [this] { launch_step(); });
    }
    stream_.replay(loop_);
  } else {
    for (int i = 0; i < steps_; ++i) launch_step();
  }
  send_out();
}

void ReverseProcess::collect(float* out) {
  ITO_CHECK(collected_ < started_, "a batch collected that was never started");
  const Slot& slot = slots_[collected_ % 2];
  copies_.synchronize(slot.copied);
  std::copy_n(slot.images.data(), slot.images.count(), out);
  ++collected_;
}

void ReverseProcess::run(int64_t first, const float* initial_noise, const int32_t* labels, float* out,
                         const std::function<void(int)>& after_step) {
  ITO_CHECK(started_ == collected_, "run while a started batch is not collected");
  if (!after_step) {
    start(first, initial_noise, labels);
    return collect(out);
  }
  begin(first, initial_noise, labels);
  if (settings_.capture && !step_) {
    warm(first, initial_noise, labels);
    step_ = stream_.capture([this] { launch_step(); });
  }
  for (int i = 0; i < steps_; ++i) {
    if (settings_.capture)
      stream_.replay(step_);
    else
      launch_step();
    after_step(i);
  }
  send_out();
  collect(out);
}

int64_t ReverseProcess::steps_done() const {
  return __atomic_load_n(steps_done_.data(), __ATOMIC_RELAXED);
}

std::vector<float> ReverseProcess::state() {
  std::vector<float> state(x_.count());
  x_.download(stream_, state.data());
  return state;
}

}  // namespace ito
