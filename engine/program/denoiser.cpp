// SPDX-License-Identifier: Apache-2.0
// See denoiser.h: a network and its program, for inference or with the gradient of its input.
#include "engine/program/denoiser.h"

namespace ito {

Denoiser::Denoiser(const Network& network, int batch, DType compute, Gradient gradient)
    : network_(network),
      program_({batch, gradient == Gradient::Input ? Mode::InputGradient : Mode::Inference, compute}),
      inputs_(plan_network(program_, network_)) {}

void Denoiser::bind(const float* weights) {
  program_.bind(weights, nullptr);
}

void Denoiser::pack(Stream& stream) {
  program_.pack(stream);
}

DataRef Denoiser::labels() const {
  return inputs_.labels ? program_.data(inputs_.labels) : DataRef();
}

}  // namespace ito
