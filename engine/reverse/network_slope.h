// SPDX-License-Identifier: Apache-2.0
// The probability flow of a network as a slope that the adaptive solver walks.
#pragma once
#include "engine/diffusion/probability_flow.h"
#include "engine/program/denoiser.h"
#include "engine/reverse/adaptive_solver.h"
#include "kernels/diffusion/probability_flow.h"

namespace ito {

class NetworkSlope : public Slope {
 public:
  // Declares its memory in `buffers`. The denoiser outlives it.
  NetworkSlope(Denoiser& denoiser, const ProbabilityFlow& flow, BufferList& buffers);
  void prepare(Stream& stream);  // once the buffers are allocated

  void launch(Stream& stream, const OdePoint& point) override;
  // x0 (N, size) as the network estimates it from x at the end of the data.
  void estimate(Stream& stream, float* x0, const float* x, const double* times);

  Denoiser& denoiser() const { return denoiser_; }
  const FlowRow* at() const { return at_.data(); }  // (N): the rows of the last launch
  bool wide() const;                                // the network's answer has channels that say nothing of x0

 private:
  void evaluate(Stream& stream, float* slope, const float* x, const double* times, const FlowTable& table);

  Denoiser& denoiser_;
  ProbabilityFlow flow_;
  DeviceBuffer<FlowRow> rows_, at_;  // rows_: the table's, and behind them the one of x0
};

}  // namespace ito
