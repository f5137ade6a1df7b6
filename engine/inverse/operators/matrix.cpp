// SPDX-License-Identifier: Apache-2.0
// Any linear measurement, by its matrix: what none of the others is. Pseudo-inverse and V from its singular values.
#include <algorithm>
#include <cmath>

#include "engine/inverse/axis_matrix.h"
#include "engine/io/safetensors.h"

namespace ito {
namespace {

constexpr int64_t kMostSide = 1024;  // factored in a second; in minutes where it must be by rotations (dense.cpp)

class MatrixOperator : public MeasurementOperator {
 public:
  MatrixOperator(const ImageShape& image, const DenseMatrix& a) : MatrixOperator(image, a, svd_of(a)) {}

  void plan(int, BufferList& buffers) override {
    for (AxisMap* map : {&forward_, &adjoint_, &inverse_}) map->plan(buffers);
  }
  void prepare(Stream& stream) override {
    for (AxisMap* map : {&forward_, &adjoint_, &inverse_}) map->prepare(stream);
  }
  void apply(Stream& stream, float* y, const float* x, int n) override { forward_.apply(stream, y, x, n, 1); }
  void adjoint(Stream& stream, float* x, const float* r, const float*, int n) override {
    adjoint_.apply(stream, x, r, n, 1);
  }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override { inverse_.apply(stream, x, y, n, 1); }
  bool has_pseudo_inverse() const override { return true; }
  Spectrum* spectrum() override { return &spectrum_; }

 private:
  MatrixOperator(const ImageShape& image, const DenseMatrix& a, const DenseSvd& svd)
      : MeasurementOperator(image, {1, 1, static_cast<int>(a.rows)}),
        forward_(a),
        adjoint_(transposed(a)),
        inverse_(ito::pseudo_inverse(svd)),
        spectrum_(svd.v, svd.values, 1, 1) {}

  AxisMap forward_, adjoint_, inverse_;
  AxisSpectrum spectrum_;
};

std::unique_ptr<MeasurementOperator> make_matrix(const ImageShape& image, const std::string& text,
                                                 const std::string& args) {
  ITO_USER_CHECK(!args.empty(), text, ": expected matrix:FILE with a tensor \"matrix\" of measurements and numbers");
  const SafetensorsFile file = SafetensorsFile::open(args);
  ITO_USER_CHECK(file.has("matrix"), text, ": the file holds no tensor \"matrix\"");
  const std::vector<int64_t> shape = file.entry("matrix").shape;
  ITO_USER_CHECK(shape.size() == 2 && shape[0] > 0 && shape[1] == image.size(), text, ": its matrix is ",
                 shape_text(shape), "; expected [measurements, ", image.size(), "], as many columns as the image of ",
                 image.channels, " x ", image.height, " x ", image.width, " has numbers");
  ITO_USER_CHECK(shape[0] <= kMostSide && shape[1] <= kMostSide, text, ": its matrix is ", shape_text(shape),
                 ", whose singular values would take too long; expected at most ", kMostSide, " rows and columns");
  const std::vector<float> values = file.read_f32("matrix");
  for (const float v : values)
    ITO_USER_CHECK(std::isfinite(v), text, ": its matrix holds ", v, "; expected finite numbers");
  ITO_USER_CHECK(std::any_of(values.begin(), values.end(), [](float v) { return v != 0; }), text,
                 ": its matrix is all zeros, which measures nothing");
  // Columns stand for numbers in planes; the device has pixels.
  const std::vector<float> pixels = to_interleaved(values, shape[0], image);
  return std::make_unique<MatrixOperator>(image, DenseMatrix{shape[0], shape[1], {pixels.begin(), pixels.end()}});
}

}  // namespace

extern const OperatorKind kMatrixOperator;
const OperatorKind kMatrixOperator = {
    "matrix", "matrix:FILE  any matrix (tensor `matrix`), measurements by numbers of the image in planes", make_matrix};

}  // namespace ito
