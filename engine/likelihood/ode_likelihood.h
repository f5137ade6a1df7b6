// SPDX-License-Identifier: Apache-2.0
// log p(x0) of points by the instantaneous change of variables along the probability flow (Chen et al. 2018; Song et
// al. 2021, section 4.3 and appendix D.2): from the data's end to that of the noise
//   d log p(x(l)) / dl = - div dx/dl,   log p(x0) = log p_T(x_T) + integral of div dx/dl + N ln alpha,
// alpha of the data's end, whose x is alpha (x0 + s eps): the density is that of data with noise of s added. The
// integral is a number beside the state of the adaptive solver, per number of the image, so that it is held to the same
// tolerances in nats a number; the divergence comes from the network's pull-back
// (kernels/diffusion/probability_flow.h). With random probes every probe has an integral of its own, along the one
// path: their spread is the estimate's error.
#pragma once
#include <functional>
#include <vector>

#include "engine/reverse/network_slope.h"

namespace ito {

enum class Trace : uint8_t { Exact, Hutchinson };

struct LikelihoodSettings {
  Trace trace = Trace::Hutchinson;
  int probes = 1;  // of Trace::Hutchinson
  double rtol = 1e-5, atol = 1e-5;
  int batch = 64;
  uint64_t seed = 0;  // of the probes
  bool capture = true;
  size_t memory_limit = SIZE_MAX;  // bytes; UserError with the sum if the plan needs more
  // ln p_T of x (H, W, C) at the noise's end, in the flow's state; none: N(0, noise_std^2 I).
  std::function<double(const float* x)> end_log_density = {};
};

// Of one point, in nats.
struct LogDensity {
  double value;           // ln p(x0), or its mean over the probes
  double standard_error;  // over the probes; 0 of an exact trace or of one probe
  int evaluations, accepted, rejected;
};

class OdeLikelihood {
 public:
  // weights: an arena in device memory that outlives this object.
  OdeLikelihood(const Network& network, const ProbabilityFlow& flow, const float* weights,
                const LikelihoodSettings& settings);

  // x0 (count, H, W, C), labels (count) as the network has them; first: number of the first point, which its probes
  // belong to.
  std::vector<LogDensity> all(int64_t first, int64_t count, const float* x0, const LabelRows& labels);

  int64_t thousandths() const { return solver_.thousandths(); }  // as of AdaptiveProcess
  int64_t thousandths_of(int64_t count) const;

 private:
  class DivergingSlope : public Slope {
   public:
    DivergingSlope(NetworkSlope& network, const LikelihoodSettings& settings, BufferList& buffers);
    void launch(Stream& stream, const OdePoint& point) override;
    const int64_t* first() const { return first_.data(); }
    int64_t* first() { return first_.data(); }
    int extras() const { return settings_.trace == Trace::Exact ? 1 : settings_.probes; }

   private:
    NetworkSlope& network_;
    LikelihoodSettings settings_;
    DeviceBuffer<int64_t> first_;  // the number of the batch's first point
  };

  void run(int64_t first, int64_t n, const float* x0, const LabelRows& labels);
  LogDensity read(const float* x_end, const double* integrals, const OdeImage& end) const;

  ProbabilityFlow flow_;
  LikelihoodSettings settings_;
  BufferList buffers_;
  Stream stream_{"likelihood"};
  Denoiser denoiser_;
  NetworkSlope network_;
  DivergingSlope slope_;
  AdaptiveSolver solver_;
};

}  // namespace ito
