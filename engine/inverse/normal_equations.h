// SPDX-License-Identifier: Apache-2.0
// The least squares of an operator whose pseudo-inverse has no closed form. With singular values it is V S^-2 V^T H^T
// y; without them (H^T H + 1e-6 |H|^2) x = H^T y by a fixed number of steps of conjugate gradients, |H|^2 found by a
// power iteration once the tables are filled.
#pragma once
#include "engine/inverse/conjugate_gradients.h"
#include "engine/inverse/measurement_operator.h"
#include "kernels/inverse/state_edit.h"

namespace ito {

inline constexpr double kLeastSquaresShift = 1e-6;  // of |H|^2

class NormalEquations {
 public:
  void plan(int batch, MeasurementOperator& op, BufferList& buffers);  // and the operator's spectrum, if it has one
  void prepare(Stream& stream, MeasurementOperator& op);               // op can be applied
  void solve(Stream& stream, MeasurementOperator& op, float* x, const float* y, int n);

 private:
  ConjugateGradients solver_;
  DeviceBuffer<float> measured_, back_, shift_;
  DeviceBuffer<EditCoefficients> inverse_squares_;
  DeviceBuffer<int32_t> value_of_;
  DeviceBuffer<EditRow> row_;
};

}  // namespace ito
