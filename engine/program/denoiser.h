// SPDX-License-Identifier: Apache-2.0
// A network planned for a batch: fill in its inputs, evaluate, read the answer; and, where it was planned so, the
// pull-back (d prediction / d sample)^T v, which guidance by measurements, Hutchinson's trace and the ODE likelihood
// ask for. All calls enqueue work and can be captured. The bits of an image do not depend on the others of its batch.
#pragma once
#include "engine/program/network.h"

namespace ito {

class Denoiser {
 public:
  enum class Gradient : uint8_t { None, Input };
  // Plans and allocates nothing, so that planned_bytes can be asked first.
  Denoiser(const Network& network, int batch, DType compute, Gradient gradient = Gradient::None);
  // weights: an arena in device memory, in the layout's order, that outlives this object. Allocates planned_bytes().
  void bind(const float* weights);
  void pack(Stream& stream);  // after bind, and after every change of the weights

  const Network& network() const { return network_; }
  int batch() const { return program_.options().n; }
  const Program& program() const { return program_; }
  size_t planned_bytes() const { return program_.plan().bytes(); }  // weights not included

  // To be filled in before evaluate; they keep what they hold.
  DataRef sample() const { return program_.data(inputs_.sample); }                 // (N, H, W, C), compute type
  float* timestep() const { return program_.data(inputs_.timestep).as<float>(); }  // (N)
  // (N) int32 class numbers, (N, label_width) fp32, or null, as network().labels says.
  DataRef labels() const;
  // (N, 2) alpha and sigma of the sample; null unless the network asks for them.
  float* level() const { return inputs_.level ? program_.data(inputs_.level).as<float>() : nullptr; }
  void evaluate(Stream& stream) { program_.forward(stream); }
  ConstDataRef prediction() const { return program_.data(program_.output()); }  // (N, H, W, out_channels), compute type

  // Gradient::Input only. After evaluate: fill in the cotangent v, shaped as the prediction, pull back, and read
  // (d prediction / d sample)^T v, shaped as the sample. Both are of the compute type. Once an evaluate: gradients take
  // the place of activations, so that another v asks for another evaluate.
  DataRef cotangent() const { return program_.gradient(program_.output()); }
  void pull_back(Stream& stream) { program_.backward(stream); }
  ConstDataRef input_gradient() const { return program_.gradient(inputs_.sample); }

 private:
  Network network_;
  Program program_;
  NetworkInputs inputs_;
};

}  // namespace ito
