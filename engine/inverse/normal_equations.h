// SPDX-License-Identifier: Apache-2.0
// The least squares of an operator whose pseudo-inverse has no closed form: (H^T H + 1e-6 |H|^2) x = H^T y by a fixed
// number of steps of conjugate gradients. |H|^2 is found by a power iteration once the tables are filled.
#pragma once
#include "engine/inverse/conjugate_gradients.h"
#include "engine/inverse/measurement_operator.h"

namespace ito {

inline constexpr double kLeastSquaresShift = 1e-6;  // of |H|^2

class NormalEquations {
 public:
  void plan(int batch, const MeasurementOperator& op, BufferList& buffers);
  void prepare(Stream& stream, MeasurementOperator& op);  // op can be applied
  void solve(Stream& stream, MeasurementOperator& op, float* x, const float* y, int n);

 private:
  ConjugateGradients solver_;
  DeviceBuffer<float> measured_, back_, shift_;
};

}  // namespace ito
