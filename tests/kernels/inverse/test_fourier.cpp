// SPDX-License-Identifier: Apache-2.0
// The Fourier and Hartley transforms against plain sums in fp64, and what they promise of themselves.
#include "kernels/inverse/fourier.h"

#include <complex>

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

using Complex = std::complex<double>;

// The unitary transform by its definition, (N, H, W, C).
std::vector<Complex> plain_transform(const Values& x, int n, int height, int width, int channels) {
  std::vector<Complex> to(x.size());
  const auto place = [&](int image, int i, int j, int c) {
    return static_cast<size_t>(int64_t{1} * ((image * height + i) * width + j) * channels + c);
  };
  for (int image = 0; image < n; ++image)
    for (int c = 0; c < channels; ++c)
      for (int u = 0; u < height; ++u)
        for (int v = 0; v < width; ++v) {
          Complex sum = 0;
          for (int i = 0; i < height; ++i)
            for (int j = 0; j < width; ++j)
              sum += x[place(image, i, j, c)] *
                     std::polar(1.0, -2 * M_PI * (double(u * i % height) / height + double(v * j % width) / width));
          to[place(image, u, v, c)] = sum / std::sqrt(double(height) * width);
        }
  return to;
}

struct Transform {
  Transform(Stream& stream, int height, int width, int channels)
      : height_roots(stream, 2 * static_cast<size_t>(height)), width_roots(stream, 2 * static_cast<size_t>(width)) {
    height_roots.upload_raw(fourier_roots(height));
    width_roots.upload_raw(fourier_roots(width));
    shape = {height, width, channels, height_roots, width_roots};
  }
  DeviceArray<float> height_roots, width_roots;
  FourierShape shape;
};

// Every output is a sum over the image whose terms' sizes add up to sum |x| / sqrt(H W) and pass the stages of both
// axes. A stage of radix R rounds a term its root's once, its own product and the sums behind it, at most R + 1 times,
// in each of the two parts; the scale twice. The radices of a length add up to at most the length.
double rounding_of(int height, int width) {
  const auto stages = [](int length) {
    int sum = 0;
    for (int factor = 2; length > 1; ++factor)
      for (; length % factor == 0; length /= factor) sum += factor + 1;
    return sum;
  };
  return 2 * (stages(height) + stages(width) + 4) * kRoundFloat;
}

Values sizes_of(const Values& x, int n, int numbers, int channels, double scale) {
  Values sizes(x.size());
  for (int image = 0; image < n; ++image)
    for (int c = 0; c < channels; ++c) {
      double sum = 0;
      for (int i = c; i < numbers; i += channels)
        sum += std::fabs(x[static_cast<size_t>(int64_t{1} * image * numbers + i)]);
      for (int i = c; i < numbers; i += channels)
        sizes[static_cast<size_t>(int64_t{1} * image * numbers + i)] = sum * scale;
    }
  return sizes;
}

TEST(Fourier, IsThePlainSumForAllFactors) {
  int other = 3;
  for (const int length : {1, 2, 3, 4, 5, 7, 8, 12, 28, 30})
    for (const bool along_height : {false, true}) {
      const int height = along_height ? length : other, width = along_height ? other : length;
      other = 5 - other;  // 3 or 2 of the other axis
      const int n = 2, channels = length % 2 ? 1 : 3, numbers = height * width * channels;
      const std::string what = join_text(height, " x ", width, " x ", channels);
      Stream stream;
      const Transform transform(stream, height, width, channels);
      const Values x = stored<float>(random_values(static_cast<size_t>(int64_t{1} * n * numbers), 7));
      const std::vector<Complex> want = plain_transform(x, n, height, width, channels);
      Values parts, hartley;
      for (const Complex& z : want) {
        parts.push_back(z.real());
        parts.push_back(z.imag());
        hartley.push_back(z.real() - z.imag());
      }
      const Values sizes = sizes_of(x, n, numbers, channels, 1 / std::sqrt(double(height) * width));
      Values twice;
      for (const double size : sizes) twice.insert(twice.end(), 2, size);
      DeviceArray<float> image(stream, x), spectrum(stream, parts.size()), scratch(stream, parts.size());
      fourier_transform(stream, spectrum, image, transform.shape, n);
      expect_close(what, spectrum.values(), parts, 0, rounding_of(height, width), twice);

      // In place, and back by the same transform: two of them.
      DeviceArray<float> h(stream, x);
      hartley_transform(stream, h, h, scratch, transform.shape, n);
      expect_close(what + ", Hartley", h.values(), hartley, 0, 2 * rounding_of(height, width), sizes);
      hartley_transform(stream, h, h, scratch, transform.shape, n);
      const double grown = 4 * rounding_of(height, width) * std::sqrt(double(height) * width);
      expect_close(what + ", Hartley twice", h.values(), x, 0, grown, sizes);

      // The second image alone has the same bits.
      DeviceArray<float> alone(stream, parts.size() / 2);
      fourier_transform(stream, alone, image.data() + numbers, transform.shape, 1);
      EXPECT_EQ(alone.bits(), spectrum.bits().substr(alone.bytes())) << what;

      DeviceArray<float> back(stream, x.size());
      inverse_fourier_transform(stream, back, spectrum, transform.shape, n);
      expect_close(what + " and back", back.values(), x, 0, grown, sizes);
    }
}

// More lines than a block takes, and a line that a block has room for one of only.
TEST(Fourier, ManyLinesAndLongOnes) {
  for (const auto& [height, width, channels] : {std::tuple{2, 7, 5}, {1, 2048, 1}, {3, 1, 21}}) {
    Stream stream;
    const Transform transform(stream, height, width, channels);
    const int numbers = height * width * channels;
    // One wave: the plain sum would take long here, and its transform is known.
    Values x(static_cast<size_t>(numbers)), want(2 * x.size());
    for (int i = 0; i < height; ++i)
      for (int j = 0; j < width; ++j)
        for (int c = 0; c < channels; ++c)
          x[static_cast<size_t>(int64_t{1} * (i * width + j) * channels + c)] =
              (c + 1) * std::sin(2 * M_PI * j / width);
    x = stored<float>(x);
    for (int c = 0; c < channels; ++c)
      for (const int sign : {1, -1}) {
        const int v = sign > 0 ? 1 : width - 1;
        if (width > 2)
          want[static_cast<size_t>(int64_t{1} * 2 * (v * channels + c) + 1)] =
              -sign * (c + 1) * std::sqrt(height * width) / 2.0;
      }
    DeviceArray<float> image(stream, x), spectrum(stream, want.size());
    fourier_transform(stream, spectrum, image, transform.shape, 1);
    expect_close(join_text(height, " x ", width), spectrum.values(), want, 0,
                 rounding_of(height, width) * channels * std::sqrt(double(height) * width), Values(want.size(), 1));
  }
}

TEST(Fourier, HartleyIsOrthogonalAndSymmetric) {
  const int height = 5, width = 6, count = height * width;
  Stream stream;
  const Transform transform(stream, height, width, 1);
  Values units(static_cast<size_t>(count * count));
  for (int i = 0; i < count; ++i) units[static_cast<size_t>(int64_t{1} * i * count + i)] = 1;
  DeviceArray<float> matrix(stream, units), scratch(stream, 2 * units.size());
  hartley_transform(stream, matrix, matrix, scratch, transform.shape, count);
  const Values v = matrix.values();
  Values product(units.size()), turned(units.size());
  for (int i = 0; i < count; ++i)
    for (int j = 0; j < count; ++j) {
      const size_t at = static_cast<size_t>(int64_t{1} * i * count + j);
      turned[at] = v[static_cast<size_t>(int64_t{1} * j * count + i)];
      for (int k = 0; k < count; ++k)
        product[at] +=
            v[static_cast<size_t>(int64_t{1} * i * count + k)] * v[static_cast<size_t>(int64_t{1} * j * count + k)];
    }
  // Entries are a cosine and a sine, over sqrt(count), and rows of `count` of them.
  const double entry = 2 * rounding_of(height, width) / std::sqrt(count);
  expect_close("symmetric", v, turned, 0, 2 * entry, Values(v.size(), 1));
  expect_close("orthogonal", product, units, 0, 4 * entry * std::sqrt(count), Values(v.size(), 1));
}

TEST(Fourier, SpectraAreMultipliedAndMeasured) {
  Stream stream;
  const int n = 2, pixels = 3, channels = 2;
  const Values from = {1, 2, 0, 0, -1, 0.5, 3, 4, 0, -2, 5, 12, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6};
  const Values table = {1, 0, 0, 1, 2, -1}, r = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  DeviceArray<float> factors(stream, table), residual(stream, r);
  for (const bool conjugate : {false, true}) {
    Values want;
    for (size_t i = 0; i < r.size(); ++i) {
      const size_t pixel = i / channels % pixels;
      const Complex k(table[2 * pixel], (conjugate ? -1 : 1) * table[2 * pixel + 1]);
      const Complex z = k * Complex(from[2 * i], from[2 * i + 1]);
      want.push_back(z.real());
      want.push_back(z.imag());
    }
    DeviceArray<float> spectrum(stream, from);
    multiply_spectrum(stream, spectrum, factors, conjugate, n, pixels, channels);
    EXPECT_EQ(spectrum.values(), want) << "small whole numbers";
  }
  Values magnitudes, phases;
  for (size_t i = 0; i < r.size(); ++i) {
    const double size = std::hypot(from[2 * i], from[2 * i + 1]);
    magnitudes.push_back(size);
    phases.push_back(size > 0 ? r[i] * from[2 * i] / size : 0);
    phases.push_back(size > 0 ? r[i] * from[2 * i + 1] / size : 0);
  }
  DeviceArray<float> spectrum(stream, from), y(stream, r.size());
  spectrum_magnitude(stream, y, spectrum, static_cast<int64_t>(r.size()));
  expect_close("magnitude", y.values(), magnitudes, 4 * kRoundFloat, 0);
  spectrum_phase_times(stream, spectrum, residual, static_cast<int64_t>(r.size()));
  expect_close("phase", spectrum.values(), phases, 6 * kRoundFloat, 0);
}

TEST(Fourier, LinesThatDoNotFitAreRefused) {
  Stream stream;
  DeviceArray<float> place(stream, 4), other(stream, 4);
  const FourierShape shape{kMostFourierLength + 1, 1, 1, place, place};
  EXPECT_THROW(fourier_transform(stream, other, place, shape, 1), Error);
}

}  // namespace
}  // namespace ito::test
