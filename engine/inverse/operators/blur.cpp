// SPDX-License-Identifier: Apache-2.0
// Blur with any kernel over a periodic border, a product at every frequency: H = F^-1 k^ F, H^T = F^-1 conj(k^) F and
// H+ = F^-1 conj(k^) / |k^|^2 F where |k^| is not next to nothing. Singular values |k^|.
#include <cmath>

#include "engine/inverse/operators/fourier_spectrum.h"
#include "engine/inverse/operators/kernels_of_blur.h"

namespace ito {
namespace {

using Complex = std::complex<double>;

class Blur : public MeasurementOperator {
 public:
  Blur(const ImageShape& image, const std::vector<Complex>& transfer)
      : MeasurementOperator(image, image), transform_(image), spectrum_(image, sizes(transfer)) {
    double largest = 0;
    for (const Complex& k : transfer) largest = std::max(largest, std::abs(k));
    for (const Complex& k : transfer) {
      push(transfer_, k);
      push(inverse_, std::abs(k) > kLeastValue * largest ? std::conj(k) / std::norm(k) : 0);
    }
  }
  void plan(int batch, BufferList& buffers) override {
    transform_.plan(batch, buffers);
    buffers.add(transfer_on_device_, transfer_.size(), "a blur's kernel");
    buffers.add(inverse_on_device_, inverse_.size(), "a blur's kernel");
  }
  void prepare(Stream& stream) override {
    transform_.prepare(stream);
    transfer_on_device_.upload(stream, transfer_.data());
    inverse_on_device_.upload(stream, inverse_.data());
  }
  void apply(Stream& stream, float* y, const float* x, int n) override {
    filter(stream, y, x, transfer_on_device_.data(), false, n);
  }
  void adjoint(Stream& stream, float* x, const float* r, const float*, int n) override {
    filter(stream, x, r, transfer_on_device_.data(), true, n);
  }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override {
    filter(stream, x, y, inverse_on_device_.data(), false, n);
  }
  bool has_pseudo_inverse() const override { return true; }
  Spectrum* spectrum() override { return &spectrum_; }

 private:
  static std::vector<double> sizes(const std::vector<Complex>& transfer) {
    std::vector<double> sizes;
    for (const Complex& k : transfer) sizes.push_back(std::abs(k));
    return sizes;
  }
  static void push(std::vector<float>& to, const Complex& value) {
    to.push_back(static_cast<float>(value.real()));
    to.push_back(static_cast<float>(value.imag()));
  }
  void filter(Stream& stream, float* to, const float* from, const float* table, bool conjugate, int n) {
    transform_.forward(stream, from, n);
    transform_.multiply(stream, table, conjugate, n);
    transform_.inverse(stream, to, n);
  }

  FourierTransform transform_;
  FourierSpectrum spectrum_;
  std::vector<float> transfer_, inverse_;  // (H, W, 2)
  DeviceBuffer<float> transfer_on_device_, inverse_on_device_;
};

std::unique_ptr<MeasurementOperator> of_kernel(const ImageShape& image, const std::string& text,
                                               const BlurKernel& kernel) {
  check_fourier_sides(text, image.height, image.width);
  ITO_USER_CHECK(kernel.rows <= image.height && kernel.columns <= image.width, text, ": its kernel is ", kernel.rows,
                 " x ", kernel.columns, ", larger than the image's ", image.height, " x ", image.width,
                 "; use one that fits");
  return std::make_unique<Blur>(image, transfer_of(kernel, image));
}

// A whole number of pixels up to the longest line that is transformed.
int pixels(const std::string& text, double number, const char* what) {
  ITO_USER_CHECK(number >= 1 && number <= kMostFourierLength && number == std::floor(number), text, ": ", what, " ",
                 number, "; expected a whole number of 1 to ", kMostFourierLength);
  return static_cast<int>(number);
}

std::unique_ptr<MeasurementOperator> gaussian(const ImageShape& image, const std::string& text,
                                              const std::string& args) {
  const std::vector<double> numbers = operator_numbers(
      text, args, 1, 2,
      "blur-gaussian:SD or blur-gaussian:SD,TAPS, a standard deviation in pixels and the kernel's side");
  const double sd = numbers[0];
  ITO_USER_CHECK(sd > 0 && sd <= kMostFourierLength, text, ": standard deviation ", sd,
                 "; expected pixels above 0, up to ", kMostFourierLength);
  if (numbers.size() > 1) {
    const int taps = pixels(text, numbers[1], "taps");
    return of_kernel(image, text, gaussian_kernel(sd, taps, taps));
  }
  // The largest odd number of taps that both three deviations and the image leave.
  const auto taps = [&](int side) { return 2 * std::min(static_cast<int>(std::ceil(3 * sd)), (side - 1) / 2) + 1; };
  return of_kernel(image, text, gaussian_kernel(sd, taps(image.height), taps(image.width)));
}

std::unique_ptr<MeasurementOperator> motion(const ImageShape& image, const std::string& text, const std::string& args) {
  const std::vector<double> numbers =
      operator_numbers(text, args, 2, 2, "blur-motion:LENGTH,ANGLE, in pixels and in degrees from the horizontal");
  ITO_USER_CHECK(numbers[0] > 0 && numbers[0] <= kMostFourierLength, text, ": length ", numbers[0],
                 "; expected pixels above 0, up to ", kMostFourierLength);
  return of_kernel(image, text, motion_kernel(numbers[0], numbers[1]));
}

std::unique_ptr<MeasurementOperator> uniform(const ImageShape& image, const std::string& text,
                                             const std::string& args) {
  const std::vector<double> numbers =
      operator_numbers(text, args, 1, 1, "blur-uniform:SIDE, the side in pixels of the square that is averaged");
  return of_kernel(image, text, uniform_kernel(pixels(text, numbers[0], "side")));
}

std::unique_ptr<MeasurementOperator> of_file(const ImageShape& image, const std::string& text,
                                             const std::string& args) {
  ITO_USER_CHECK(!args.empty(), text, ": expected blur:FILE with a tensor \"kernel\" of rows and columns");
  return of_kernel(image, text, kernel_of_file(text, args));
}

}  // namespace

extern const OperatorKind kBlurOperator, kBlurGaussianOperator, kBlurMotionOperator, kBlurUniformOperator;
const OperatorKind kBlurOperator = {"blur", "blur:FILE  convolution with a kernel (tensor `kernel`), periodic border",
                                    of_file};
const OperatorKind kBlurGaussianOperator = {
    "blur-gaussian", "blur-gaussian:SD[,TAPS]  a Gaussian of SD pixels, 2 ceil(3 SD) + 1 taps a side by default",
    gaussian};
const OperatorKind kBlurMotionOperator = {
    "blur-motion", "blur-motion:LENGTH,ANGLE  along a segment; degrees, counter-clockwise from the horizontal", motion};
const OperatorKind kBlurUniformOperator = {"blur-uniform", "blur-uniform:SIDE  means of SIDE x SIDE pixels about each",
                                           uniform};

}  // namespace ito
