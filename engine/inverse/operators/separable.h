// SPDX-License-Identifier: Apache-2.0
// A matrix for the rows and one for the columns, of each channel alike: y = A x B^T. Everything else follows from the
// factors' singular values, whose products are its own: H+ y = A+ y B+^T, V^T x = V_A^T x V_B.
#pragma once
#include "engine/inverse/axis_matrix.h"

namespace ito {

// Two maps in turn, with room between them.
class SeparableMap {
 public:
  SeparableMap(const DenseMatrix& rows, const DenseMatrix& columns, const ImageShape& from);
  void plan(int batch, BufferList& buffers);
  void prepare(Stream& stream);
  // to may be from where the shape stays.
  void apply(Stream& stream, float* to, const float* from, int n);

 private:
  AxisMap rows_, columns_;
  ImageShape from_;
  DeviceBuffer<float> between_;
};

class SeparableSpectrum : public Spectrum {
 public:
  SeparableSpectrum(const DenseSvd& rows, const DenseSvd& columns, const ImageShape& image);
  void plan(int batch, BufferList& buffers) override;
  void prepare(Stream& stream) override;
  void to_basis(Stream& stream, float* v, const float* x, int n) override { to_.apply(stream, v, x, n); }
  void from_basis(Stream& stream, float* x, const float* v, int n) override { from_.apply(stream, x, v, n); }

 private:
  SeparableMap to_, from_;
};

// rows (h, H), columns (w, W).
std::unique_ptr<MeasurementOperator> separable_operator(const ImageShape& image, const DenseMatrix& rows,
                                                        const DenseMatrix& columns);

// The factor F in `args`, which divides the image's sides. UserError beginning with `text`.
int factor_of_sides(const ImageShape& image, const std::string& text, const std::string& args, const char* expected);

}  // namespace ito
