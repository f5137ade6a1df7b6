// SPDX-License-Identifier: Apache-2.0
// Sparse-view tomography: line integrals along parallel rays at some angles (kernels/inverse/radon.h). Of small images
// the matrix is written out, for singular values and pseudo-inverse; of others that one is by conjugate gradients.
#include <cmath>

#include "engine/inverse/dense_spectrum.h"
#include "engine/inverse/normal_equations.h"
#include "kernels/inverse/radon.h"

namespace ito {
namespace {

constexpr int kMostAngles = 4096;

// A line as long as the diagonal, of the longer side's square, and one or two on either side.
int detectors_of(const ImageShape& image) {
  return 2 * static_cast<int>(std::ceil(std::max(image.height, image.width) / std::sqrt(2.0))) + 3;
}

class Radon : public MeasurementOperator {
 public:
  Radon(const ImageShape& image, int angles)
      : MeasurementOperator(image, {angles, detectors_of(image), image.channels}), angles_(angles) {}
  void find_factors() {
    dense_ = dense_factors(*this);
    whole_ = true;
  }
  void plan(int batch, BufferList& buffers) override {
    buffers.add(directions_, 2 * static_cast<size_t>(angles_), "directions of rays");
    if (dense_)
      dense_->inverse.plan(buffers);
    else if (whole_)
      normal_.plan(batch, *this, buffers);
  }
  void prepare(Stream& stream) override {
    std::vector<float> directions;
    for (int q = 0; q < angles_; ++q) {
      directions.push_back(static_cast<float>(std::cos(M_PI * q / angles_)));
      directions.push_back(static_cast<float>(std::sin(M_PI * q / angles_)));
    }
    directions_.upload(stream, directions.data());
    if (dense_)
      dense_->inverse.prepare(stream);
    else if (whole_)
      normal_.prepare(stream, *this);
  }
  void apply(Stream& stream, float* y, const float* x, int n) override { radon(stream, y, x, shape(), n); }
  void adjoint(Stream& stream, float* x, const float* r, const float*, int n) override {
    radon_adjoint(stream, x, r, shape(), n);
  }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override {
    if (dense_)
      dense_->inverse.apply(stream, x, y, n, 1);
    else
      normal_.solve(stream, *this, x, y, n);
  }
  bool has_pseudo_inverse() const override { return true; }
  Spectrum* spectrum() override { return dense_ ? &dense_->spectrum : nullptr; }

 private:
  RadonShape shape() const {
    return {image().height, image().width, image().channels, angles_, measured().width, directions_.data()};
  }
  int angles_;
  DeviceBuffer<float> directions_;
  NormalEquations normal_;
  std::unique_ptr<DenseFactors> dense_;
  bool whole_ = false;  // false while the matrix is written out, which asks for no inverse
};

std::unique_ptr<MeasurementOperator> make_radon(const ImageShape& image, const std::string& text,
                                                const std::string& args) {
  const double angles = operator_numbers(text, args, 1, 1, "radon:ANGLES, the number of directions")[0];
  ITO_USER_CHECK(angles >= 1 && angles <= kMostAngles && angles == std::floor(angles), text, ": ", angles,
                 " angles; expected a whole number of 1 to ", kMostAngles);
  auto made = std::make_unique<Radon>(image, static_cast<int>(angles));
  made->find_factors();
  return made;
}

}  // namespace

extern const OperatorKind kRadonOperator;
const OperatorKind kRadonOperator = {"radon", "radon:ANGLES  sums along parallel rays at so many angles", make_radon};

}  // namespace ito
