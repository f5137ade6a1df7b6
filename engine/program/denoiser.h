// SPDX-License-Identifier: Apache-2.0
// A network planned for a batch: fill in its inputs, evaluate, read the answer; and, where it was planned so, the
// pull-back (d prediction / d sample)^T v, which guidance by measurements, Hutchinson's trace and the ODE likelihood
// ask for. All calls enqueue work and can be captured. The bits of an image do not depend on the others of its batch.
#pragma once
#include <optional>
#include <span>

#include "engine/program/label_rows.h"
#include "engine/program/network.h"
#include "kernels/diffusion/time_lines.h"

namespace ito {

class Denoiser {
 public:
  enum class Gradient : uint8_t { None, Input };
  // Plans and allocates nothing, so that planned_bytes can be asked first. times: of calls that are known ahead; what
  // the network makes of the time alone is then made once for each of them, in pack, and a call takes what is its own
  // (take_time). No gradient of the input goes through it, so that it is the same with Gradient::Input.
  Denoiser(const Network& network, int batch, DType compute, Gradient gradient = Gradient::None,
           const std::vector<float>& times = {});
  // weights: an arena in device memory, in the layout's order, that outlives this object. Allocates planned_bytes().
  void bind(const float* weights);
  void pack(Stream& stream);  // after bind, and after every change of the weights

  const Network& network() const { return network_; }
  int batch() const { return program_.options().n; }
  const Program& program() const { return program_; }
  size_t planned_bytes() const;  // weights not included

  // To be filled in before evaluate; they keep what they hold.
  DataRef sample() const { return program_.data(inputs_.sample); }                 // (N, H, W, C), compute type
  float* timestep() const { return program_.data(inputs_.timestep).as<float>(); }  // (N)
  // (N) int32 class numbers, (N, label_width) fp32, or null, as network().labels says.
  DataRef labels() const;
  // The labels of the batch's first n images; those that fill it up have zeros. Error where they are not the network's.
  void put_labels(Stream& stream, const LabelRows& labels, int64_t n);
  // (N, 2) alpha and sigma of the sample; null unless the network asks for them.
  float* level() const { return inputs_.level ? program_.data(inputs_.level).as<float>() : nullptr; }
  // Of a denoiser with times, before evaluate and beside timestep(): the following evaluations are at times[*call], or
  // those of image n at times[calls[n]]; in device memory. They do nothing without.
  void take_time(Stream& stream, const int64_t* call) { take_lines(stream, call, false); }
  void take_times(Stream& stream, const int64_t* calls) { take_lines(stream, calls, true); }
  // The times of the following evaluations, and of their pull-backs, where the host knows them: what counts for nothing
  // at any of them is left out (Network::aside_idle), with the same bits in the answer. Known of one launch or capture,
  // and said anew for the next; none: not known, and all is made.
  void expect_times(std::span<const float> times);
  void evaluate(Stream& stream) { program_.forward(stream); }
  ConstDataRef prediction() const { return program_.data(program_.output()); }  // (N, H, W, out_channels), compute type

  // Gradient::Input only. After evaluate: fill in the cotangent v, shaped as the prediction, pull back, and read
  // (d prediction / d sample)^T v, shaped as the sample. Both are of the compute type. Once an evaluate: gradients take
  // the place of activations, so that another v asks for another evaluate.
  DataRef cotangent() const { return program_.gradient(program_.output()); }
  void pull_back(Stream& stream) { program_.backward(stream); }
  ConstDataRef input_gradient() const { return program_.gradient(inputs_.sample); }

 private:
  void take_lines(Stream& stream, const int64_t* calls, bool of_images);

  Network network_;
  Program program_;
  NetworkInputs inputs_;
  std::vector<float> times_;           // each once
  std::vector<int32_t> row_of_calls_;  // of times_
  std::optional<Program> of_times_;    // what the network makes of the times alone, a row each
  Value times_input_;                  // of it
  std::vector<Value> lines_, tables_;  // the same values in program_ and in of_times_
  DeviceBuffer<TimeLine> copies_;      // from tables_ to lines_
  DeviceBuffer<int32_t> rows_;         // row_of_calls_
};

}  // namespace ito
