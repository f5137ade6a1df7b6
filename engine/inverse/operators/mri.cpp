// SPDX-License-Identifier: Apache-2.0
// Magnetic resonance imaging of real images: the kept frequencies of the unitary F x. Measured numbers stand in
// (1, kept, 2 C), frequencies row by row, each channel's real part and then its imaginary part.
// F x of a real image holds every frequency twice, at w and, conjugated, at -w. H^T H multiplies both by the part of
// the pair that is kept, g = (m(w) + m(-w)) / 2, which is even: singular values sqrt(g), 1, 1 / sqrt 2 or 0, in the
// Hartley transform's coordinates. H^T is Re F^-1 of what was kept, zeros elsewhere, and H+ the same of what was kept
// over g: a pair that was measured twice is averaged, one that was measured once counts whole.
#include <algorithm>
#include <cmath>

#include "engine/data/order.h"
#include "engine/inverse/operators/fourier_spectrum.h"
#include "engine/io/safetensors.h"
#include "kernels/inverse/gather.h"

namespace ito {
namespace {

using Mask = std::vector<uint8_t>;  // (H, W), 1 where a frequency is kept, the zero frequency first

// g of the above.
std::vector<double> kept_parts(const ImageShape& image, const Mask& mask) {
  std::vector<double> parts;
  for (int u = 0; u < image.height; ++u)
    for (int v = 0; v < image.width; ++v) {
      const int mirror = (image.height - u) % image.height * image.width + (image.width - v) % image.width;
      parts.push_back(
          (mask[static_cast<size_t>(int64_t{1} * u * image.width + v)] + mask[static_cast<size_t>(mirror)]) / 2.0);
    }
  return parts;
}

class Mri : public MeasurementOperator {
 public:
  Mri(const ImageShape& image, const Mask& mask)
      : MeasurementOperator(image, {1, static_cast<int>(std::count(mask.begin(), mask.end(), 1)), 2 * image.channels}),
        transform_(image),
        spectrum_(image, roots(kept_parts(image, mask))),
        source_(2 * static_cast<size_t>(image.size()), -1) {
    const size_t numbers = 2 * static_cast<size_t>(image.channels);
    for (size_t p = 0; p < mask.size(); ++p)
      for (size_t i = p * numbers; mask[p] && i < (p + 1) * numbers; ++i) {
        source_[i] = static_cast<int32_t>(kept_.size());
        kept_.push_back(static_cast<int32_t>(i));
      }
    for (const double part : kept_parts(image, mask)) {
      weights_.push_back(part > 0 ? static_cast<float>(1 / part) : 0);
      weights_.push_back(0);
    }
  }
  void plan(int batch, BufferList& buffers) override {
    transform_.plan(batch, buffers);
    buffers.add(kept_on_device_, kept_.size(), "a mask of frequencies");
    buffers.add(source_on_device_, source_.size(), "a mask of frequencies");
    buffers.add(weights_on_device_, weights_.size(), "a mask of frequencies");
  }
  void prepare(Stream& stream) override {
    transform_.prepare(stream);
    kept_on_device_.upload(stream, kept_.data());
    source_on_device_.upload(stream, source_.data());
    weights_on_device_.upload(stream, weights_.data());
  }
  void apply(Stream& stream, float* y, const float* x, int n) override {
    transform_.forward(stream, x, n);
    gather(stream, y, transform_.spectrum(), kept_on_device_.data(), n, measurements(), 2 * image().size());
  }
  void adjoint(Stream& stream, float* x, const float* r, const float*, int n) override {
    fill(stream, r, n);
    transform_.inverse(stream, x, n);
  }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override {
    fill(stream, y, n);
    transform_.multiply(stream, weights_on_device_.data(), false, n);
    transform_.inverse(stream, x, n);
  }
  bool has_pseudo_inverse() const override { return true; }
  Spectrum* spectrum() override { return &spectrum_; }

 private:
  static std::vector<double> roots(std::vector<double> parts) {
    for (double& part : parts) part = std::sqrt(part);
    return parts;
  }
  void fill(Stream& stream, const float* y, int n) {
    gather(stream, transform_.spectrum(), y, source_on_device_.data(), n, 2 * image().size(), measurements());
  }

  FourierTransform transform_;
  FourierSpectrum spectrum_;
  std::vector<int32_t> kept_, source_;  // places in (H, W, C, 2) of what is measured, and the other way round
  std::vector<float> weights_;          // (H, W, 2): 1 / g
  DeviceBuffer<int32_t> kept_on_device_, source_on_device_;
  DeviceBuffer<float> weights_on_device_;
};

constexpr double kCentre = 0.08;  // the part of the columns, about frequency 0, that is always kept

// Whole columns of frequencies, one of `acceleration` of them: the lowest, and others by the seed.
Mask random_columns(const ImageShape& image, double acceleration, uint64_t seed) {
  const int width = image.width;
  const int kept = std::max(1, static_cast<int>(std::lround(width / acceleration)));
  const int centre = std::min(kept, std::max(1, static_cast<int>(std::lround(kCentre * width))));
  // 0, 1, -1, 2, -2, ...: the lowest first.
  const auto column = [&](int64_t k) {
    const int frequency = static_cast<int>((k + 1) / 2);
    return static_cast<size_t>(k % 2 == 1 || k == 0 ? frequency : width - frequency);
  };
  Mask columns(static_cast<size_t>(width), 0);
  for (int k = 0; k < centre; ++k) columns[column(k)] = 1;
  if (kept > centre) {
    DataOrder order(seed, width - centre);
    for (int k = 0; k < kept - centre; ++k) columns[column(centre + order.index(k))] = 1;
  }
  Mask mask;
  for (int u = 0; u < image.height; ++u) mask.insert(mask.end(), columns.begin(), columns.end());
  return mask;
}

Mask lines_of_file(const ImageShape& image, const std::string& text, const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  ITO_USER_CHECK(file.has("mask"), text, ": the file holds no tensor \"mask\"");
  const std::vector<float> values = file.read_f32("mask");
  ITO_USER_CHECK(static_cast<int64_t>(values.size()) == image.pixels(), text, ": its mask has ", values.size(),
                 " numbers; expected ", image.height, " x ", image.width);
  for (const float v : values)
    ITO_USER_CHECK(v == 0 || v == 1, text, ": its mask holds ", v,
                   "; expected 1 where a frequency is kept and 0 elsewhere");
  Mask mask(values.begin(), values.end());
  ITO_USER_CHECK(std::count(mask.begin(), mask.end(), 1) > 0, text,
                 ": keeps nothing of the image; a mask is 1 where a frequency is kept");
  return mask;
}

std::unique_ptr<MeasurementOperator> make_mri(const ImageShape& image, const std::string& text,
                                              const std::string& args) {
  const char* const expected = "mri:ACCELERATION, mri:ACCELERATION,SEED or mri:FILE";
  ITO_USER_CHECK(!args.empty(), text, ": expected ", expected);
  check_fourier_sides(text, image.height, image.width);
  if (args.find_first_not_of("0123456789.,") != std::string::npos)
    return std::make_unique<Mri>(image, lines_of_file(image, text, args));
  const std::vector<double> numbers = operator_numbers(text, args, 1, 2, expected);
  ITO_USER_CHECK(numbers[0] >= 1 && numbers[0] <= image.width, text, ": keeps one column of ", numbers[0],
                 "; expected 1 to ", image.width);
  const uint64_t seed = operator_seed(text, numbers.size() > 1 ? numbers[1] : 0);
  return std::make_unique<Mri>(image, random_columns(image, numbers[0], seed));
}

}  // namespace

extern const OperatorKind kMriOperator;
const OperatorKind kMriOperator = {"mri",
                                   "mri:FILE|ACCELERATION[,SEED]  the frequencies that a mask keeps (tensor `mask`, 1: "
                                   "kept, frequency 0 first); or one "
                                   "of ACCELERATION columns of them, the lowest always",
                                   make_mri};

}  // namespace ito
