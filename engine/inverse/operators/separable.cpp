// SPDX-License-Identifier: Apache-2.0
// See separable.h.
#include "engine/inverse/operators/separable.h"

#include <cmath>

namespace ito {
namespace {

class Separable : public MeasurementOperator {
 public:
  Separable(const ImageShape& image, const ImageShape& measured, const DenseMatrix& rows, const DenseMatrix& columns,
            const DenseSvd& svd_rows, const DenseSvd& svd_columns)
      : MeasurementOperator(image, measured),
        forward_(rows, columns, image),
        adjoint_(transposed(rows), transposed(columns), measured),
        inverse_(ito::pseudo_inverse(svd_rows), ito::pseudo_inverse(svd_columns), measured),
        spectrum_(svd_rows, svd_columns, image) {}
  void plan(int batch, BufferList& buffers) override {
    for (SeparableMap* map : {&forward_, &adjoint_, &inverse_}) map->plan(batch, buffers);
  }
  void prepare(Stream& stream) override {
    for (SeparableMap* map : {&forward_, &adjoint_, &inverse_}) map->prepare(stream);
  }
  void apply(Stream& stream, float* y, const float* x, int n) override { forward_.apply(stream, y, x, n); }
  void adjoint(Stream& stream, float* x, const float* r, const float*, int n) override {
    adjoint_.apply(stream, x, r, n);
  }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override { inverse_.apply(stream, x, y, n); }
  bool has_pseudo_inverse() const override { return true; }
  Spectrum* spectrum() override { return &spectrum_; }

 private:
  SeparableMap forward_, adjoint_, inverse_;
  SeparableSpectrum spectrum_;
};

}  // namespace

SeparableMap::SeparableMap(const DenseMatrix& rows, const DenseMatrix& columns, const ImageShape& from)
    : rows_(rows), columns_(columns), from_(from) {}

void SeparableMap::plan(int batch, BufferList& buffers) {
  rows_.plan(buffers);
  columns_.plan(buffers);
  buffers.add(between_, static_cast<size_t>(int64_t{batch} * rows_.rows() * from_.width * from_.channels),
              "an image between two axes");
}

void SeparableMap::prepare(Stream& stream) {
  rows_.prepare(stream);
  columns_.prepare(stream);
}

void SeparableMap::apply(Stream& stream, float* to, const float* from, int n) {
  rows_.apply(stream, between_.data(), from, n, int64_t{from_.width} * from_.channels);
  columns_.apply(stream, to, between_.data(), int64_t{n} * rows_.rows(), from_.channels);
}

SeparableSpectrum::SeparableSpectrum(const DenseSvd& rows, const DenseSvd& columns, const ImageShape& image)
    : to_(transposed(rows.v), transposed(columns.v), image), from_(rows.v, columns.v, image) {
  std::vector<double> of_coordinates;
  for (const double row : rows.values)
    for (const double column : columns.values)
      of_coordinates.insert(of_coordinates.end(), static_cast<size_t>(image.channels), row * column);
  set_values(of_coordinates);
}

void SeparableSpectrum::plan(int batch, BufferList& buffers) {
  to_.plan(batch, buffers);
  from_.plan(batch, buffers);
}

void SeparableSpectrum::prepare(Stream& stream) {
  to_.prepare(stream);
  from_.prepare(stream);
}

std::unique_ptr<MeasurementOperator> separable_operator(const ImageShape& image, const DenseMatrix& rows,
                                                        const DenseMatrix& columns) {
  ITO_CHECK(rows.columns == image.height && columns.columns == image.width, "separable_operator: ", rows.columns, " x ",
            columns.columns, " for an image of ", image.height, " x ", image.width);
  const ImageShape measured{static_cast<int>(rows.rows), static_cast<int>(columns.rows), image.channels};
  return std::make_unique<Separable>(image, measured, rows, columns, svd_of(rows), svd_of(columns));
}

int factor_of_sides(const ImageShape& image, const std::string& text, const std::string& args, const char* expected) {
  const double number = operator_numbers(text, args, 1, 1, expected)[0];
  ITO_USER_CHECK(number >= 1 && number <= std::min(image.height, image.width) && number == std::floor(number), text,
                 ": factor ", number, "; expected a whole number of 1 to the image's smaller side, ",
                 std::min(image.height, image.width));
  const int factor = static_cast<int>(number);
  ITO_USER_CHECK(image.height % factor == 0 && image.width % factor == 0, text, ": ", factor,
                 " does not divide the image's ", image.height, " x ", image.width, "; use a factor of both sides");
  return factor;
}

}  // namespace ito
