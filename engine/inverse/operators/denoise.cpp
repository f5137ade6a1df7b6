// SPDX-License-Identifier: Apache-2.0
// The image itself, with noise: H = I.
#include "engine/inverse/measurement_operator.h"
#include "engine/inverse/operators/pixel_spectrum.h"

namespace ito {
namespace {

class Denoise : public MeasurementOperator {
 public:
  explicit Denoise(const ImageShape& image)
      : MeasurementOperator(image, image), spectrum_(std::vector<double>(static_cast<size_t>(image.size()), 1.0)) {}
  void apply(Stream& stream, float* y, const float* x, int n) override { copy(stream, y, x, n); }
  void adjoint(Stream& stream, float* x, const float* r, const float*, int n) override { copy(stream, x, r, n); }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override { copy(stream, x, y, n); }
  bool has_pseudo_inverse() const override { return true; }
  Spectrum* spectrum() override { return &spectrum_; }

 private:
  void copy(Stream& stream, float* to, const float* from, int n) const {
    copy_on_device(stream, to, from, sizeof(float) * static_cast<size_t>(n * measurements()));
  }
  PixelSpectrum spectrum_;
};

std::unique_ptr<MeasurementOperator> make_denoise(const ImageShape& image, const std::string& text,
                                                  const std::string& args) {
  ITO_USER_CHECK(args.empty(), text, ": denoise takes no arguments");
  return std::make_unique<Denoise>(image);
}

}  // namespace

extern const OperatorKind kDenoiseOperator;
const OperatorKind kDenoiseOperator = {"denoise", "denoise  the image itself", make_denoise};

}  // namespace ito
