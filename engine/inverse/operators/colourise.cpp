// SPDX-License-Identifier: Apache-2.0
// The grey image, the mean of a pixel's three channels: colours are what is missing.
#include <cmath>

#include "engine/inverse/axis_matrix.h"

namespace ito {
namespace {

class Colourise : public MeasurementOperator {
 public:
  Colourise(const ImageShape& image, const DenseMatrix& mean)
      : MeasurementOperator(image, {image.height, image.width, 1}),
        mean_(mean),
        spread_(transposed(mean)),
        inverse_(DenseMatrix{3, 1, {1, 1, 1}}),
        spectrum_(svd_of(mean).v, values(image), image.pixels(), 1) {}
  void plan(int, BufferList& buffers) override {
    for (AxisMap* map : {&mean_, &spread_, &inverse_}) map->plan(buffers);
  }
  void prepare(Stream& stream) override {
    for (AxisMap* map : {&mean_, &spread_, &inverse_}) map->prepare(stream);
  }
  void apply(Stream& stream, float* y, const float* x, int n) override {
    mean_.apply(stream, y, x, n * image().pixels(), 1);
  }
  void adjoint(Stream& stream, float* x, const float* r, const float*, int n) override {
    spread_.apply(stream, x, r, n * image().pixels(), 1);
  }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override {
    inverse_.apply(stream, x, y, n * image().pixels(), 1);
  }
  bool has_pseudo_inverse() const override { return true; }
  Spectrum* spectrum() override { return &spectrum_; }

 private:
  static std::vector<double> values(const ImageShape& image) {
    std::vector<double> of_coordinates;
    for (int64_t p = 0; p < image.pixels(); ++p)
      of_coordinates.insert(of_coordinates.end(), {1 / std::sqrt(3.0), 0.0, 0.0});
    return of_coordinates;
  }
  AxisMap mean_, spread_, inverse_;
  AxisSpectrum spectrum_;
};

std::unique_ptr<MeasurementOperator> make_colourise(const ImageShape& image, const std::string& text,
                                                    const std::string& args) {
  ITO_USER_CHECK(args.empty(), text, ": colourise takes no arguments");
  ITO_USER_CHECK(image.channels == 3, text, ": the image has ", image.channels,
                 " channels; colourise needs 3, use it on colour images");
  return std::make_unique<Colourise>(image, DenseMatrix{1, 3, {1 / 3.0, 1 / 3.0, 1 / 3.0}});
}

}  // namespace

extern const OperatorKind kColouriseOperator;
const OperatorKind kColouriseOperator = {"colourise", "colourise  the mean of the three channels", make_colourise};

}  // namespace ito
