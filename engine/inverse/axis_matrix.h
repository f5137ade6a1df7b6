// SPDX-License-Identifier: Apache-2.0
// A dense matrix with its place on the device, and singular values whose V is one along an axis.
#pragma once
#include "engine/inverse/dense.h"
#include "engine/inverse/measurement_operator.h"
#include "kernels/inverse/axis_product.h"

namespace ito {

DenseMatrix transposed(const DenseMatrix& a);
// V S^-1 U^T, of the values that are not 0.
DenseMatrix pseudo_inverse(const DenseSvd& svd);

class AxisMap {
 public:
  // Entries that are rounding errors beside the largest one are taken as 0, so that bands are narrow.
  explicit AxisMap(const DenseMatrix& a);
  void plan(BufferList& buffers);
  void prepare(Stream& stream);
  int rows() const { return rows_; }
  void apply(Stream& stream, float* y, const float* x, int64_t outer, int64_t inner) const;

 private:
  int rows_, columns_;
  std::vector<float> values_;
  std::vector<int32_t> band_;
  DeviceBuffer<float> values_on_device_;
  DeviceBuffer<int32_t> band_on_device_;
};

// V along an axis of images (outer, V's size, inner).
class AxisSpectrum : public Spectrum {
 public:
  AxisSpectrum(const DenseMatrix& v, const std::vector<double>& of_coordinates, int64_t outer, int64_t inner);
  void plan(int batch, BufferList& buffers) override;
  void prepare(Stream& stream) override;
  void to_basis(Stream& stream, float* v, const float* x, int n) override { map(stream, to_, v, x, n); }
  void from_basis(Stream& stream, float* x, const float* v, int n) override { map(stream, from_, x, v, n); }

 private:
  void map(Stream& stream, const AxisMap& by, float* to, const float* from, int n);
  AxisMap to_, from_;
  int64_t outer_, inner_;
  DeviceBuffer<float> scratch_;
};

}  // namespace ito
