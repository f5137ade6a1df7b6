// SPDX-License-Identifier: Apache-2.0
// Phase retrieval: y = |Z|, Z the unitary Fourier transform of the image with zeros around it. The gradient of <r, y>
// in the image is what Re F^-1 (r Z / |Z|) has inside of the border, 0 taken for it where Z is 0.
#include <cmath>

#include "engine/inverse/operators/fourier_transform.h"
#include "kernels/inverse/gather.h"

namespace ito {
namespace {

class Phase : public MeasurementOperator {
 public:
  // top, left: zeros on either side of the rows and of the columns.
  Phase(const ImageShape& image, int top, int left)
      : MeasurementOperator(image, {image.height + 2 * top, image.width + 2 * left, image.channels}),
        transform_(measured()),
        pad_(static_cast<size_t>(measurements()), -1),
        crop_(static_cast<size_t>(image.size())) {
    for (int64_t i = 0; i < image.size(); ++i) {
      const int64_t row_size = int64_t{1} * image.width * image.channels, row = i / row_size;
      const int64_t place =
          (row + top) * measured().width * image.channels + int64_t{1} * left * image.channels + i % row_size;
      pad_[static_cast<size_t>(place)] = static_cast<int32_t>(i);
      crop_[static_cast<size_t>(i)] = static_cast<int32_t>(place);
    }
  }
  void plan(int batch, BufferList& buffers) override {
    transform_.plan(batch, buffers);
    buffers.add(padded_, static_cast<size_t>(batch * measurements()), "a padded image");
    buffers.add(pad_on_device_, pad_.size(), "the places of a padded image");
    buffers.add(crop_on_device_, crop_.size(), "the places of a padded image");
  }
  void prepare(Stream& stream) override {
    transform_.prepare(stream);
    pad_on_device_.upload(stream, pad_.data());
    crop_on_device_.upload(stream, crop_.data());
  }
  void apply(Stream& stream, float* y, const float* x, int n) override {
    padded_spectrum(stream, x, n);
    spectrum_magnitude(stream, y, transform_.spectrum(), n * measurements());
  }
  void adjoint(Stream& stream, float* x, const float* r, const float* at, int n) override {
    ITO_CHECK(at, "phase: an adjoint without the image that it is taken at");
    padded_spectrum(stream, at, n);
    spectrum_phase_times(stream, transform_.spectrum(), r, n * measurements());
    transform_.inverse(stream, padded_.data(), n);
    gather(stream, x, padded_.data(), crop_on_device_.data(), n, image().size(), measurements());
  }
  bool linear() const override { return false; }

 private:
  void padded_spectrum(Stream& stream, const float* x, int n) {
    gather(stream, padded_.data(), x, pad_on_device_.data(), n, measurements(), image().size());
    transform_.forward(stream, padded_.data(), n);
  }

  FourierTransform transform_;
  std::vector<int32_t> pad_, crop_;
  DeviceBuffer<float> padded_;
  DeviceBuffer<int32_t> pad_on_device_, crop_on_device_;
};

std::unique_ptr<MeasurementOperator> make_phase(const ImageShape& image, const std::string& text,
                                                const std::string& args) {
  const std::vector<double> numbers = operator_numbers(
      text, args, 0, 1, "phase or phase:OVERSAMPLE, eight times the zeros at each edge as a part of the side");
  const double oversample = numbers.empty() ? 2 : numbers[0];
  ITO_USER_CHECK(oversample >= 0 && oversample <= 64, text, ": oversampling ", oversample, "; expected 0 to 64");
  const auto zeros = [&](int side) { return static_cast<int>(std::lround(oversample / 8 * side)); };
  const int top = zeros(image.height), left = zeros(image.width);
  check_fourier_sides(text, image.height + 2 * top, image.width + 2 * left);
  return std::make_unique<Phase>(image, top, left);
}

}  // namespace

extern const OperatorKind kPhaseOperator;
const OperatorKind kPhaseOperator = {
    "phase",
    "phase[:OVERSAMPLE]  the sizes of the frequencies of the image with OVERSAMPLE / 8 of its sides of zeros at each "
    "edge, 2 by default",
    make_phase};

}  // namespace ito
