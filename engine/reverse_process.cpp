// SPDX-License-Identifier: Apache-2.0
#include "engine/reverse_process.h"

#include "engine/memory_check.h"
#include "kernels/diffusion/noising.h"
#include "kernels/nn/pointwise.h"
#include "kernels/philox.h"

namespace ito {

ReverseProcess::ReverseProcess(const Network& network, std::vector<ReverseCoefficients> table, const float* weights,
                               const ReverseSettings& settings)
    : network_(network),
      settings_(settings),
      steps_(static_cast<int>(table.size())),
      program_({settings.batch, Mode::Inference, settings.compute}) {
  ITO_USER_CHECK(settings.batch >= 1, "--batch ", settings.batch, ": expected at least 1");
  ITO_CHECK(steps_ > 0, "a reverse process of no steps");
  ITO_USER_CHECK(network.labels != LabelKind::Value,
                 "sampling from a network with real-valued class labels is not implemented");
  const bool learned = table.front().learned_variance != 0;
  ITO_USER_CHECK(network.out_channels == (learned ? 2 : 1) * network.channels, "the network has ", network.out_channels,
                 " output channels for ", network.channels, " of data, but the scheduler's ", "variance is ",
                 learned ? "learned" : "fixed", "; change variance_type");
  network_.build(program_);
  check_memory("sampling",
               {{"network", program_.plan().bytes() + sizeof(float) * settings.batch * network_.row()},
                {"weights", sizeof(float) * program_.layout().arena_floats()},
                {"images", settings.kept_images}},
               settings.memory_limit, "lower --batch, --count or the image size");
  program_.bind(weights, nullptr);
  table_ = {table.size(), "sampler coefficients"};
  table_.upload(stream_, table.data());
  counters_ = {2, "step counter"};
  x_ = {static_cast<size_t>(settings.batch) * network_.row(), "the state of the reverse process"};
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
  const DataRef sample = program_.data(program_.find_input("sample"));
  set_timesteps(stream_, program_.data(program_.find_input("timestep")).as<float>(), table_.data(), counters_.data(),
                n);
  program_.forward(stream_);
  reverse_step(stream_, x_.data(), sample, nullptr, program_.data(program_.output()), table_.data(), counter, n,
               network_.height * network_.width, network_.channels);
  advance_step(stream_, counters_.data());
}

void ReverseProcess::run(int64_t first, const float* initial_noise, const int32_t* labels, float* out,
                         const std::function<void(int)>& after_step) {
  const int64_t start[2] = {0, first};
  counters_.upload(stream_, start);
  SampleCounter counter;
  counter.seed = settings_.seed;
  counter.first_on_device = counters_.data() + 1;
  if (initial_noise)
    x_.upload(stream_, initial_noise);
  else
    fill_normal(stream_, x_.data(), counter, purpose_word(Purpose::InitialNoise), settings_.batch, network_.row());
  convert(stream_, program_.data(program_.find_input("sample")), x_.data(), static_cast<int64_t>(x_.count()));
  if (network_.labels == LabelKind::Index) {
    ITO_CHECK(labels, "a class-conditional network sampled without classes");
    copy_to_device(stream_, program_.data(program_.find_input("class_labels")).data, labels,
                   settings_.batch * sizeof(int32_t));
  }
  if (settings_.capture && !graph_) graph_ = stream_.capture([this] { launch_step(); });
  for (int i = 0; i < steps_; ++i) {
    if (settings_.capture)
      stream_.replay(graph_);
    else
      launch_step();
    if (after_step) after_step(i);
  }
  x_.download(stream_, out);
}

std::vector<float> ReverseProcess::state() {
  std::vector<float> state(x_.count());
  x_.download(stream_, state.data());
  return state;
}

}  // namespace ito
