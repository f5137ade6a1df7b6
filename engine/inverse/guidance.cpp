// SPDX-License-Identifier: Apache-2.0
// See guidance.h.
#include "engine/inverse/guidance.h"

namespace ito {
namespace {

class Residual : public Guidance {
 public:
  explicit Residual(MeasurementOperator& op) : op_(op) {}
  void direction(Stream& stream, float* u, const GuidancePoint& at) override {
    float* r = at.scratch.measured.data();
    op_.apply(stream, r, at.d, at.n);
    measure_residual(stream, r, at.data.y, r, true, at.n, op_.measurements());
    op_.adjoint(stream, u, r, at.d, at.n);
  }

 private:
  MeasurementOperator& op_;
};

class ByEdit : public Guidance {
 public:
  ByEdit(MeasurementOperator& op, EditPlan plan) : edit_(op, std::move(plan)) {}
  void plan(int, BufferList& buffers) override { edit_.plan(buffers); }
  void prepare(Stream& stream) override { edit_.prepare(stream); }
  void direction(Stream& stream, float* u, const GuidancePoint& at) override {
    edit_.apply(stream, u, at.d, nullptr, at.data, at.scratch, at.row, at.counter, at.n);
  }

 private:
  StateEdit edit_;
};

class ByInverse : public Guidance {
 public:
  explicit ByInverse(MeasurementOperator& op) : op_(op) {}
  void direction(Stream& stream, float* u, const GuidancePoint& at) override {
    float *measured = at.scratch.measured.data(), *of_estimate = at.scratch.a.data();
    op_.pseudo_inverse(stream, u, at.data.y, at.n);
    op_.apply(stream, measured, at.d, at.n);
    op_.pseudo_inverse(stream, of_estimate, measured, at.n);
    measure_residual(stream, u, u, of_estimate, false, at.n, op_.image().size());
  }

 private:
  MeasurementOperator& op_;
};

// Pairs (a, b) of rows for scale_and_shift.
std::vector<float> pairs_of(const std::vector<float>& first, const std::vector<float>& second) {
  std::vector<float> pairs;
  for (size_t i = 0; i < first.size(); ++i) {
    pairs.push_back(first[i]);
    pairs.push_back(second[i]);
  }
  return pairs;
}

class Solved : public Guidance {
 public:
  Solved(MeasurementOperator& op, const std::vector<float>& rho, const std::vector<float>& scale, int steps)
      : op_(op),
        pairs_(pairs_of(std::vector<float>(rho.size(), 1), rho)),
        scales_(pairs_of(scale, std::vector<float>(scale.size(), 0))),
        steps_(steps) {}
  void plan(int batch, BufferList& buffers) override {
    gradients_.plan(batch, op_.image().size(), buffers);
    buffers.add(pairs_on_device_, pairs_.size(), "a solver's weights");
    buffers.add(scales_on_device_, scales_.size(), "a solver's weights");
  }
  void prepare(Stream& stream) override {
    pairs_on_device_.upload(stream, pairs_.data());
    scales_on_device_.upload(stream, scales_.data());
  }
  void direction(Stream& stream, float* u, const GuidancePoint& at) override {
    float *r = at.scratch.measured.data(), *b = at.scratch.a.data();
    const int64_t count = at.n * op_.image().size();
    op_.apply(stream, r, at.d, at.n);
    measure_residual(stream, r, at.data.y, r, false, at.n, op_.measurements());
    op_.adjoint(stream, b, r, nullptr, at.n);
    const auto normal = [&](Stream& s, float* out, const float* in, int n) {
      op_.apply(s, r, in, n);
      op_.adjoint(s, out, r, nullptr, n);
      scale_and_shift(s, out, in, pairs_on_device_.data(), at.row, count);
    };
    gradients_.solve(stream, u, b, at.n, normal, steps_);
    scale_and_shift(stream, u, b, scales_on_device_.data(), at.row, count);
  }

 private:
  MeasurementOperator& op_;
  std::vector<float> pairs_, scales_;
  int steps_;
  ConjugateGradients gradients_;
  DeviceBuffer<float> pairs_on_device_, scales_on_device_;
};

class Tweedie : public Guidance {
 public:
  Tweedie(MeasurementOperator& op, const std::vector<float>& scale, double noise, int steps)
      : op_(op),
        pairs_(pairs_of(scale, std::vector<float>(scale.size(), static_cast<float>(noise * noise)))),
        steps_(steps) {}
  void plan(int batch, BufferList& buffers) override {
    gradients_.plan(batch, op_.measurements(), buffers);
    buffers.add(q_, static_cast<size_t>(batch * op_.measurements()), "a solver's residual");
    buffers.add(pairs_on_device_, pairs_.size(), "a solver's weights");
  }
  void prepare(Stream& stream) override { pairs_on_device_.upload(stream, pairs_.data()); }
  void direction(Stream& stream, float* u, const GuidancePoint& at) override {
    float* r = at.scratch.measured.data();
    op_.apply(stream, r, at.d, at.n);
    measure_residual(stream, r, at.data.y, r, false, at.n, op_.measurements());
    const auto covariance = [&](Stream& s, float* out, const float* in, int n) {
      op_.adjoint(s, u, in, nullptr, n);
      at.pull_back(s, u, u);
      op_.apply(s, out, u, n);
      scale_and_shift(s, out, in, pairs_on_device_.data(), at.row, n * op_.measurements());
    };
    gradients_.solve(stream, q_.data(), r, at.n, covariance, steps_);
    op_.adjoint(stream, u, q_.data(), nullptr, at.n);
  }

 private:
  MeasurementOperator& op_;
  std::vector<float> pairs_;
  int steps_;
  ConjugateGradients gradients_;
  DeviceBuffer<float> q_, pairs_on_device_;
};

}  // namespace

std::unique_ptr<Guidance> residual_guidance(MeasurementOperator& op) {
  return std::make_unique<Residual>(op);
}

std::unique_ptr<Guidance> edit_guidance(MeasurementOperator& op, EditPlan plan) {
  return std::make_unique<ByEdit>(op, std::move(plan));
}

std::unique_ptr<Guidance> inverse_guidance(MeasurementOperator& op) {
  return std::make_unique<ByInverse>(op);
}

std::unique_ptr<Guidance> solved_guidance(MeasurementOperator& op, const std::vector<float>& rho,
                                          const std::vector<float>& scale, int steps) {
  return std::make_unique<Solved>(op, rho, scale, steps);
}

std::unique_ptr<Guidance> tweedie_guidance(MeasurementOperator& op, const std::vector<float>& scale, double noise,
                                           int steps) {
  return std::make_unique<Tweedie>(op, scale, noise, steps);
}

}  // namespace ito
