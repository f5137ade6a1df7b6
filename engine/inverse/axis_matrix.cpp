// SPDX-License-Identifier: Apache-2.0
// See axis_matrix.h.
#include "engine/inverse/axis_matrix.h"

#include <algorithm>
#include <cmath>

namespace ito {

DenseMatrix transposed(const DenseMatrix& a) {
  return {a.columns, a.rows, transposed(a.values, 1, a.rows, a.columns)};
}

DenseMatrix pseudo_inverse(const DenseSvd& svd) {
  DenseMatrix result{svd.v.rows, svd.u.rows, std::vector<double>(static_cast<size_t>(svd.v.rows * svd.u.rows), 0.0)};
  for (int64_t k = 0; k < svd.v.columns; ++k) {
    const double value = svd.values[static_cast<size_t>(k)];
    if (value == 0) continue;
    for (int64_t i = 0; i < result.rows; ++i)
      for (int64_t j = 0; j < result.columns; ++j) result.at(i, j) += svd.v.at(i, k) / value * svd.u.at(j, k);
  }
  return result;
}

AxisMap::AxisMap(const DenseMatrix& a) : rows_(static_cast<int>(a.rows)), columns_(static_cast<int>(a.columns)) {
  double largest = 0;
  for (const double value : a.values) largest = std::max(largest, std::abs(value));
  for (int64_t row = 0; row < a.rows; ++row) {
    int32_t begin = 0, end = 0;
    for (int64_t column = 0; column < a.columns; ++column) {
      const bool counts = std::abs(a.at(row, column)) > 1e-13 * largest;
      values_.push_back(counts ? static_cast<float>(a.at(row, column)) : 0.0f);
      if (!counts) continue;
      if (end == 0) begin = static_cast<int32_t>(column);
      end = static_cast<int32_t>(column) + 1;
    }
    band_.push_back(begin);
    band_.push_back(end);
  }
}

void AxisMap::plan(BufferList& buffers) {
  buffers.add(values_on_device_, values_.size(), "a matrix along an axis");
  buffers.add(band_on_device_, band_.size(), "a matrix along an axis");
}

void AxisMap::prepare(Stream& stream) {
  values_on_device_.upload(stream, values_.data());
  band_on_device_.upload(stream, band_.data());
}

void AxisMap::apply(Stream& stream, float* y, const float* x, int64_t outer, int64_t inner) const {
  axis_product(stream, y, x, {rows_, columns_, values_on_device_.data(), band_on_device_.data()}, outer, inner);
}

AxisSpectrum::AxisSpectrum(const DenseMatrix& v, const std::vector<double>& of_coordinates, int64_t outer,
                           int64_t inner)
    : to_(transposed(v)), from_(v), outer_(outer), inner_(inner) {
  set_values(of_coordinates);
}

void AxisSpectrum::plan(int batch, BufferList& buffers) {
  to_.plan(buffers);
  from_.plan(buffers);
  buffers.add(scratch_, static_cast<size_t>(batch) * value_of().size(), "an image in other coordinates");
}

void AxisSpectrum::prepare(Stream& stream) {
  to_.prepare(stream);
  from_.prepare(stream);
}

void AxisSpectrum::map(Stream& stream, const AxisMap& by, float* to, const float* from, int n) {
  if (to == from) {
    copy_on_device(stream, scratch_.data(), from, sizeof(float) * static_cast<size_t>(n) * value_of().size());
    from = scratch_.data();
  }
  by.apply(stream, to, from, n * outer_, inner_);
}

}  // namespace ito
