// SPDX-License-Identifier: Apache-2.0
// See normal_equations.h.
#include "engine/inverse/normal_equations.h"

#include <cmath>

namespace ito {
namespace {

constexpr int kPowerSteps = 20;  // |H|^2 need not be known better than to a few per cent

}  // namespace

void NormalEquations::plan(int batch, const MeasurementOperator& op, BufferList& buffers) {
  solver_.plan(batch, op.image().size(), buffers);
  buffers.add(measured_, static_cast<size_t>(batch * op.measurements()), "a measurement of least squares");
  buffers.add(back_, static_cast<size_t>(batch * op.image().size()), "the right side of least squares");
  buffers.add(shift_, 2, "factors of least squares");
}

void NormalEquations::prepare(Stream& stream, MeasurementOperator& op) {
  const auto size = static_cast<size_t>(op.image().size());
  std::vector<float> x(size);
  // No pattern that an operator could be blind to.
  for (size_t i = 0; i < size; ++i) x[i] = 0.5f + static_cast<float>(i * 2654435761u % 4096) / 4096;
  double largest = 0;
  for (int step = 0; step < kPowerSteps; ++step) {
    double norm = 0;
    for (const float value : x) norm += static_cast<double>(value) * value;
    norm = std::sqrt(norm);
    if (step > 0) largest = norm;
    if (norm == 0) break;
    for (float& value : x) value = static_cast<float>(value / norm);
    copy_to_device(stream, back_.data(), x.data(), sizeof(float) * size);
    op.apply(stream, measured_.data(), back_.data(), 1);
    op.adjoint(stream, back_.data(), measured_.data(), nullptr, 1);
    copy_to_host(stream, x.data(), back_.data(), sizeof(float) * size);
  }
  const float shift[] = {1, static_cast<float>(kLeastSquaresShift * largest)};
  shift_.upload(stream, shift);
}

void NormalEquations::solve(Stream& stream, MeasurementOperator& op, float* x, const float* y, int n) {
  op.adjoint(stream, back_.data(), y, nullptr, n);
  solver_.solve(stream, x, back_.data(), n, [&](Stream& s, float* out, const float* in, int images) {
    op.apply(s, measured_.data(), in, images);
    op.adjoint(s, out, measured_.data(), nullptr, images);
    scale_and_shift(s, out, in, shift_.data(), nullptr, images * op.image().size());
  });
}

}  // namespace ito
