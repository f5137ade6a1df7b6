// SPDX-License-Identifier: Apache-2.0
// See dense_spectrum.h.
#include "engine/inverse/dense_spectrum.h"

#include <algorithm>

namespace ito {
namespace {

constexpr int64_t kUnitVectors = 64;  // at a time

// H e_j as column j.
DenseMatrix matrix_of(MeasurementOperator& op) {
  const int64_t size = op.image().size(), count = op.measurements();
  const int batch = static_cast<int>(std::min(size, kUnitVectors));
  Stream stream("dense_spectrum");
  DeviceBuffer<float> units, columns;
  BufferList buffers;
  op.plan(batch, buffers);
  buffers.add(units, static_cast<size_t>(batch * size), "unit vectors");
  buffers.add(columns, static_cast<size_t>(batch * count), "columns of an operator's matrix");
  buffers.allocate();
  op.prepare(stream);
  DenseMatrix matrix{count, size, std::vector<double>(static_cast<size_t>(count * size))};
  std::vector<float> x(static_cast<size_t>(batch * size)), y(static_cast<size_t>(batch * count));
  for (int64_t first = 0; first < size; first += batch) {
    const int n = static_cast<int>(std::min<int64_t>(batch, size - first));
    std::fill(x.begin(), x.end(), 0.0f);
    for (int64_t j = 0; j < n; ++j) x[static_cast<size_t>(j * size + first + j)] = 1;
    copy_to_device(stream, units.data(), x.data(), sizeof(float) * x.size());
    op.apply(stream, columns.data(), units.data(), n);
    copy_to_host(stream, y.data(), columns.data(), sizeof(float) * static_cast<size_t>(n * count));
    for (int64_t j = 0; j < n; ++j)
      for (int64_t row = 0; row < count; ++row)
        matrix.at(row, first + j) = static_cast<double>(y[static_cast<size_t>(j * count + row)]);
  }
  return matrix;
}

}  // namespace

std::unique_ptr<DenseFactors> dense_factors(MeasurementOperator& op) {
  if (!op.linear() || op.image().size() > kMostDenseNumbers) return nullptr;
  const DenseSvd svd = svd_of(matrix_of(op));
  return std::make_unique<DenseFactors>(
      DenseFactors{AxisMap(pseudo_inverse(svd)), AxisSpectrum(svd.v, svd.values, 1, 1)});
}

}  // namespace ito
