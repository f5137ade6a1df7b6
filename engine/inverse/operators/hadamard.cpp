// SPDX-License-Identifier: Apache-2.0
// Compressed sensing: some of the rows of an orthogonal transform T of a channel's pixels, each channel alike. With a
// power of two of pixels T is the Walsh-Hadamard matrix. Otherwise, 2^k m pixels with an odd m, T = W kron C with the
// Hartley matrix C_ij = (cos + sin)(2 pi i j / m) / sqrt(m); this is ours, so that images of 28 x 28 need no padding.
// T = T^T = T^-1, H^T puts the rows back and is the pseudo-inverse. Row 0, the mean, is always among the chosen ones.
#include <cmath>

#include "engine/data/order.h"
#include "engine/inverse/axis_matrix.h"
#include "kernels/inverse/gather.h"
#include "kernels/inverse/walsh_hadamard.h"

namespace ito {
namespace {

constexpr int64_t kMostOddPixels = 4096;  // of C, whose m^2 numbers are stored

int64_t odd_part(int64_t number) {
  while (number % 2 == 0) number /= 2;
  return number;
}

DenseMatrix hartley_matrix(int64_t m) {
  DenseMatrix c{m, m, std::vector<double>(static_cast<size_t>(m * m))};
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < m; ++j) {
      const double angle = 2 * M_PI * static_cast<double>(i * j % m) / static_cast<double>(m);
      c.at(i, j) = (std::cos(angle) + std::sin(angle)) / std::sqrt(static_cast<double>(m));
    }
  return c;
}

class Transform : public Spectrum {
 public:
  Transform(const ImageShape& image, const std::vector<int32_t>& chosen)
      : image_(image), odd_(odd_part(image.pixels())), hartley_(hartley_matrix(odd_)) {
    std::vector<double> of_coordinates(static_cast<size_t>(image.size()), 0.0);
    for (const int32_t at : chosen) of_coordinates[static_cast<size_t>(at)] = 1;
    set_values(of_coordinates);
  }
  void plan(int batch, BufferList& buffers) override {
    if (odd_ == 1) return;
    hartley_.plan(buffers);
    buffers.add(between_, static_cast<size_t>(batch * image_.size()), "a transformed image");
  }
  void prepare(Stream& stream) override {
    if (odd_ > 1) hartley_.prepare(stream);
  }
  void to_basis(Stream& stream, float* v, const float* x, int n) override {
    float* const at = odd_ > 1 ? between_.data() : v;
    if (at != x) copy_on_device(stream, at, x, sizeof(float) * static_cast<size_t>(n * image_.size()));
    const int64_t length = image_.pixels() / odd_;
    walsh_hadamard(stream, at, n, length, odd_ * image_.channels);
    if (odd_ > 1) hartley_.apply(stream, v, at, n * length, image_.channels);
  }
  void from_basis(Stream& stream, float* x, const float* v, int n) override { to_basis(stream, x, v, n); }

 private:
  ImageShape image_;
  int64_t odd_;
  AxisMap hartley_;
  DeviceBuffer<float> between_;
};

class Hadamard : public MeasurementOperator {
 public:
  Hadamard(const ImageShape& image, const std::vector<int32_t>& rows)
      : MeasurementOperator(image, {1, static_cast<int>(rows.size()), image.channels}),
        chosen_(numbers(image, rows)),
        transform_(image, chosen_),
        spectrum_(image, chosen_) {}
  void plan(int batch, BufferList& buffers) override {
    transform_.plan(batch, buffers);
    buffers.add(chosen_on_device_, chosen_.size(), "the chosen rows");
    buffers.add(source_, static_cast<size_t>(image().size()), "the chosen rows");
    buffers.add(whole_, static_cast<size_t>(batch * image().size()), "a transformed image");
  }
  void prepare(Stream& stream) override {
    transform_.prepare(stream);
    chosen_on_device_.upload(stream, chosen_.data());
    std::vector<int32_t> source(static_cast<size_t>(image().size()), -1);
    for (size_t k = 0; k < chosen_.size(); ++k) source[static_cast<size_t>(chosen_[k])] = static_cast<int32_t>(k);
    source_.upload(stream, source.data());
  }
  void apply(Stream& stream, float* y, const float* x, int n) override {
    transform_.to_basis(stream, whole_.data(), x, n);
    gather(stream, y, whole_.data(), chosen_on_device_.data(), n, measurements(), image().size());
  }
  void adjoint(Stream& stream, float* x, const float* r, const float*, int n) override {
    gather(stream, whole_.data(), r, source_.data(), n, image().size(), measurements());
    transform_.from_basis(stream, x, whole_.data(), n);
  }
  void pseudo_inverse(Stream& stream, float* x, const float* y, int n) override { adjoint(stream, x, y, nullptr, n); }
  bool has_pseudo_inverse() const override { return true; }
  Spectrum* spectrum() override { return &spectrum_; }

 private:
  static std::vector<int32_t> numbers(const ImageShape& image, const std::vector<int32_t>& rows) {
    std::vector<int32_t> numbers;
    for (const int32_t row : rows)
      for (int c = 0; c < image.channels; ++c) numbers.push_back(row * image.channels + c);
    return numbers;
  }
  std::vector<int32_t> chosen_;  // in (HW, C)
  Transform transform_, spectrum_;
  DeviceBuffer<int32_t> chosen_on_device_, source_;
  DeviceBuffer<float> whole_;
};

std::unique_ptr<MeasurementOperator> make_hadamard(const ImageShape& image, const std::string& text,
                                                   const std::string& args) {
  const std::vector<double> numbers =
      operator_numbers(text, args, 1, 2, "hadamard:RATIO or hadamard:RATIO,SEED, the part of the rows that is kept");
  ITO_USER_CHECK(numbers[0] > 0 && numbers[0] <= 1, text, ": keeps ", numbers[0],
                 " of the rows; expected a part above 0, up to 1");
  const int64_t pixels = image.pixels();
  ITO_USER_CHECK(odd_part(pixels) <= kMostOddPixels, text, ": the image has ", pixels, " pixels, a power of two times ",
                 odd_part(pixels), "; use sides whose odd part is at most ", kMostOddPixels);
  const auto kept = static_cast<size_t>(std::max<int64_t>(1, std::llround(numbers[0] * static_cast<double>(pixels))));
  DataOrder order(operator_seed(text, numbers.size() > 1 ? numbers[1] : 0), pixels);
  std::vector<int32_t> rows = {0};
  for (int64_t i = 0; rows.size() < kept; ++i)
    if (const int64_t row = order.index(i); row != 0) rows.push_back(static_cast<int32_t>(row));
  return std::make_unique<Hadamard>(image, rows);
}

}  // namespace

extern const OperatorKind kHadamardOperator;
const OperatorKind kHadamardOperator = {
    "hadamard", "hadamard:RATIO[,SEED]  compressed sensing: that part of the rows of a Walsh-Hadamard transform",
    make_hadamard};

}  // namespace ito
