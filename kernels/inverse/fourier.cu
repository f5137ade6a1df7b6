// SPDX-License-Identifier: Apache-2.0
// See the header. A line of length L is transformed by Stockham's stages, which leave the frequencies in order: after
// stages of radices R1, R2, ... with product S, the stage of radix R makes, of x[j + r L / R],
//   y[(j / S) S R + j % S + q S] = sum_r x[j + r L / R] exp(-2 pi i r (j % S + q S) / (S R)),
// radix 4 while it divides what is left, then one prime factor after the other.
// Cut: a block owns up to 16 neighbouring lines (the fastest index of both its memory and its shared arrays, so that
// loads are whole sectors whichever axis it is) in two shared buffers of complex numbers; an element is one output of a
// stage. A line's sums know nothing of its neighbours. Bytes an element and axis: 8 read, 8 written; a real image 4.
// Refused: transforms of real lines at half the price, and tables of butterflies by radix; both are code that the
// few transforms a network call do not pay for.
#include "kernels/inverse/fourier.h"

#include <cmath>

#include "dialect.h"

namespace ito {
namespace {

constexpr int kFourierThreads = block_threads(256);
constexpr int64_t kMostLines = 16;
constexpr int64_t kLinesBytes = 32768;  // of a block's lines, where one is not longer

enum class LineForm : int { Real, Complex, Hartley };

// (outer, length, inner) complex numbers, or real ones.
struct FourierLines {
  int length = 0, lines = 0;  // lines: of a block
  int64_t inner = 0, groups = 0;
  LineForm from = LineForm::Complex, to = LineForm::Complex;
  float sign = -1, scale = 1;  // of the exponent; of the result
};

DEVICE int next_radix(int rest) {
  if (rest % 4 == 0) return 4;
  for (int factor = 2; factor * factor <= rest; ++factor)
    if (rest % factor == 0) return factor;
  return rest;
}

// to may be from: a block reads all of its lines before it writes.
KERNEL void fourier_lines_kernel(float* to, const float* from, const float* roots, FourierLines shape) {
  const int length = shape.length, lines = shape.lines, count = length * lines;
  float* source = dyn_shared<float>();  // (2, L, lines): real parts, imaginary parts
  float* target = source + 2 * count;   // (2, L, lines)
  const int64_t outer = blockIdx.x / shape.groups;
  const int64_t first = (blockIdx.x - outer * shape.groups) * lines;
  const int own = shape.inner - first < lines ? static_cast<int>(shape.inner - first) : lines;
  const int64_t origin = outer * length * shape.inner + first;
  BLOCK_LOOP(i, count) {
    const int64_t at = i / lines, line = i - at * lines, place = origin + at * shape.inner + line;
    const bool mine = line < own, real = shape.from == LineForm::Real;
    source[i] = mine ? from[real ? place : 2 * place] : 0.0f;
    source[count + i] = mine && !real ? from[2 * place + 1] : 0.0f;
  }
  int done = 1;
  while (done < length) {
    block_sync();
    const int radix = next_radix(length / done), span = done * radix;
    const int stride = length / radix, root_stride = length / span;
    BLOCK_LOOP(i, count) {
      const int at = static_cast<int>(i) / lines, line = static_cast<int>(i) - at * lines;
      const int group = at / span, step = at - group * span;
      int place = (group * done + step % done) * lines + line;
      float re = source[place], im = source[count + place];
      int turn = 0;
      for (int r = 1; r < radix; ++r) {
        place += stride * lines;
        turn += step;
        if (turn >= span) turn -= span;
        const float cosine = roots[2 * turn * root_stride], sine = shape.sign * roots[2 * turn * root_stride + 1];
        const float x = source[place], y = source[count + place];
        re = fmaf(x, cosine, fmaf(-y, sine, re));
        im = fmaf(x, sine, fmaf(y, cosine, im));
      }
      target[i] = re;
      target[count + i] = im;
    }
    float* const written = target;
    target = source;
    source = written;
    done = span;
  }
  block_sync();
  BLOCK_LOOP(i, count) {
    const int64_t at = i / lines, line = i - at * lines, place = origin + at * shape.inner + line;
    const float re = shape.scale * source[i], im = shape.scale * source[count + i];
    if (line < own) {
      if (shape.to == LineForm::Complex) {
        to[2 * place] = re;
        to[2 * place + 1] = im;
      } else {
        to[place] = shape.to == LineForm::Hartley ? re - im : re;
      }
    }
  }
}

DEVICE void multiply_item(int64_t i, float* spectrum, const float* table, bool conjugate, int64_t pixels,
                          int channels) {
  const int64_t pixel = i / channels % pixels;
  const float a = table[2 * pixel], b = conjugate ? -table[2 * pixel + 1] : table[2 * pixel + 1];
  const float re = spectrum[2 * i], im = spectrum[2 * i + 1];
  spectrum[2 * i] = fmaf(a, re, -b * im);
  spectrum[2 * i + 1] = fmaf(a, im, b * re);
}

DEVICE float magnitude_of(float re, float im) {
  return sqrtf(fmaf(re, re, im * im));
}

DEVICE void magnitude_item(int64_t i, float* y, const float* spectrum) {
  y[i] = magnitude_of(spectrum[2 * i], spectrum[2 * i + 1]);
}

DEVICE void phase_times_item(int64_t i, float* spectrum, const float* r) {
  const float re = spectrum[2 * i], im = spectrum[2 * i + 1], size = magnitude_of(re, im);
  const float factor = size > 0 ? r[i] / size : 0.0f;
  spectrum[2 * i] = factor * re;
  spectrum[2 * i + 1] = factor * im;
}

void check_shape(const FourierShape& shape, int n, bool places) {
  ITO_CHECK(
      shape.height > 0 && shape.height <= kMostFourierLength && shape.width > 0 && shape.width <= kMostFourierLength,
      "fourier transform: sides ", shape.height, " and ", shape.width, ", expected 1 to ", kMostFourierLength);
  ITO_CHECK(n >= 0 && shape.channels > 0 && shape.height_roots && shape.width_roots && places, "fourier transform: N ",
            n, ", C ", shape.channels, ", expected positive sizes, roots and places");
}

struct Forms {
  LineForm from, to;
};

// One axis of n images. All lines of all images are alike; the axis decides which numbers are neighbours in one.
void transform_lines(Stream& stream, float* to, const float* from, const FourierShape& shape, bool along_height, int n,
                     Forms forms, bool inverse) {
  FourierLines lines;
  lines.length = along_height ? shape.height : shape.width;
  lines.inner = along_height ? int64_t{1} * shape.width * shape.channels : shape.channels;
  const int64_t outer = along_height ? n : int64_t{1} * n * shape.height, line_bytes = 16 * lines.length;
  int64_t own = kLinesBytes / line_bytes;
  if (own > kMostLines) own = kMostLines;
  if (own > lines.inner) own = lines.inner;
  lines.lines = own > 1 ? static_cast<int>(own) : 1;
  lines.groups = (lines.inner + lines.lines - 1) / lines.lines;
  lines.from = forms.from, lines.to = forms.to;
  lines.sign = inverse ? 1.0f : -1.0f;
  lines.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(lines.length)));
  ITO_CHECK(outer * lines.groups <= INT32_MAX, "fourier transform: ", outer * lines.groups,
            " blocks, expected at most 2^31 - 1");
  launch<fourier_lines_kernel>("fourier_lines", Dim3{static_cast<unsigned>(outer * lines.groups)}, kFourierThreads,
                               static_cast<size_t>(line_bytes * lines.lines), stream, to, from,
                               along_height ? shape.height_roots : shape.width_roots, lines);
}

}  // namespace

std::vector<float> fourier_roots(int length) {
  std::vector<float> roots;
  for (int k = 0; k < length; ++k) {
    const double angle = 2 * M_PI * k / length;
    roots.push_back(static_cast<float>(std::cos(angle)));
    roots.push_back(static_cast<float>(std::sin(angle)));
  }
  return roots;
}

void fourier_transform(Stream& stream, float* spectrum, const float* x, const FourierShape& shape, int n) {
  check_shape(shape, n, spectrum && x && spectrum != x);
  transform_lines(stream, spectrum, x, shape, false, n, {LineForm::Real, LineForm::Complex}, false);
  transform_lines(stream, spectrum, spectrum, shape, true, n, {LineForm::Complex, LineForm::Complex}, false);
}

void inverse_fourier_transform(Stream& stream, float* x, float* spectrum, const FourierShape& shape, int n) {
  check_shape(shape, n, spectrum && x && spectrum != x);
  transform_lines(stream, spectrum, spectrum, shape, true, n, {LineForm::Complex, LineForm::Complex}, true);
  transform_lines(stream, x, spectrum, shape, false, n, {LineForm::Complex, LineForm::Real}, true);
}

void hartley_transform(Stream& stream, float* h, const float* x, float* spectrum, const FourierShape& shape, int n) {
  check_shape(shape, n, h && x && spectrum && spectrum != x && spectrum != h);
  transform_lines(stream, spectrum, x, shape, false, n, {LineForm::Real, LineForm::Complex}, false);
  transform_lines(stream, h, spectrum, shape, true, n, {LineForm::Complex, LineForm::Hartley}, false);
}

void multiply_spectrum(Stream& stream, float* spectrum, const float* table, bool conjugate, int n, int64_t pixels,
                       int channels) {
  ITO_CHECK(n >= 0 && pixels > 0 && channels > 0 && spectrum && table, "multiply_spectrum: N ", n, ", ", pixels,
            " pixels, C ", channels, ", expected positive sizes, a spectrum and a table");
  for_each<multiply_item>("multiply_spectrum", n * pixels * channels, stream, spectrum, table, conjugate, pixels,
                          channels);
}

void spectrum_magnitude(Stream& stream, float* y, const float* spectrum, int64_t count) {
  ITO_CHECK(count >= 0 && y && spectrum, "spectrum_magnitude: ", count, " numbers, expected two places");
  for_each<magnitude_item>("spectrum_magnitude", count, stream, y, spectrum);
}

void spectrum_phase_times(Stream& stream, float* spectrum, const float* r, int64_t count) {
  ITO_CHECK(count >= 0 && spectrum && r, "spectrum_phase_times: ", count, " numbers, expected two places");
  for_each<phase_times_item>("spectrum_phase_times", count, stream, spectrum, r);
}

}  // namespace ito
