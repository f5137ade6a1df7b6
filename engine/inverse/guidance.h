// SPDX-License-Identifier: Apache-2.0
// A direction in which the estimate should move for the measurement's sake; the network's Jacobian carries it to the
// state: g = (dD/dx)^T u.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "engine/inverse/conjugate_gradients.h"
#include "engine/inverse/state_edit.h"
#include "engine/program/denoiser.h"
#include "kernels/inverse/guidance.h"

namespace ito {

// (dD/dx)^T u at the row that runs; g may be u.
using PullBack = std::function<void(Stream&, float* g, const float* u)>;

struct GuidancePoint {
  const float* d;  // (N, size): the estimate
  EditData data;
  EditScratch& scratch;
  const int64_t* row;
  const SampleCounter& counter;
  int n;
  const PullBack& pull_back;
};

class Guidance {
 public:
  virtual ~Guidance() = default;
  virtual void plan(int /*batch*/, BufferList& /*buffers*/) {}
  virtual void prepare(Stream&) {}
  virtual void direction(Stream& stream, float* u, const GuidancePoint& at) = 0;  // u (N, size)
};

// H^T r / |r|, r = y - H(D), the norm over one image: against the gradient of |r| (Chung et al. 2023).
std::unique_ptr<Guidance> residual_guidance(MeasurementOperator& op);
// What an edit makes of the estimate and the data: H^T (r^2 H H^T + s^2)^-1 (y - H D), by singular values.
std::unique_ptr<Guidance> edit_guidance(MeasurementOperator& op, EditPlan plan);
// H+ y - H+ H(D), of an operator that need not be linear.
std::unique_ptr<Guidance> inverse_guidance(MeasurementOperator& op);
// (H^T H + rho) u = H^T (y - H D), rho of the row, by conjugate gradients: the same as by singular values with
// rho = s^2 / r^2, and 1 / r^2 in front.
std::unique_ptr<Guidance> solved_guidance(MeasurementOperator& op, const std::vector<float>& rho,
                                          const std::vector<float>& scale, int steps);
// H^T q with (H C H^T + s^2) q = y - H D and the covariance C = (1 - a) / sqrt(a) dD/dx of x0 given x, which Tweedie's
// formula has; scale: (1 - a) / sqrt(a) of each row. By conjugate gradients, a pull-back each.
std::unique_ptr<Guidance> tweedie_guidance(MeasurementOperator& op, const std::vector<float>& scale, double noise,
                                           int steps);

}  // namespace ito
