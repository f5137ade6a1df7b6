// SPDX-License-Identifier: Apache-2.0
// See the header. Forward: an item is a ray and reads two or three pixels of each row that it crosses. Adjoint: an item
// is a pixel and reads its two detectors of each angle. Both read what neighbours read, from cache.
#include "kernels/inverse/radon.h"

#include "dialect.h"

namespace ito {
namespace {

// Of pixel (i, j) on a detector; the only place that knows it.
DEVICE float distance(const RadonShape& s, float cosine, float sine, int i, int j) {
  return fmaf(static_cast<float>(j) - 0.5f * static_cast<float>(s.width - 1), cosine,
              (static_cast<float>(i) - 0.5f * static_cast<float>(s.height - 1)) * sine);
}
DEVICE float weight(const RadonShape& s, float along, int k) {
  return fmaxf(0.0f, 1.0f - fabsf(along - (static_cast<float>(k) - 0.5f * static_cast<float>(s.detectors - 1))));
}

DEVICE void radon_item(int64_t at, float* y, const float* x, RadonShape s) {
  const int64_t ray = at / s.channels, c = at - ray * s.channels, line = ray / s.detectors, image = line / s.angles;
  const int k = static_cast<int>(ray - line * s.detectors), q = static_cast<int>(line - image * s.angles);
  const float cosine = s.directions[2 * q], sine = s.directions[2 * q + 1];
  const float d = static_cast<float>(k) - 0.5f * static_cast<float>(s.detectors - 1);
  const float* from = x + image * s.height * s.width * s.channels + c;
  float sum = 0.0f;
  for (int i = 0; i < s.height; ++i) {
    // The columns with |x cos th + y sin th - d| < 1, and one more on either side against rounding; all of them where
    // the ray runs along the row.
    int first = 0, end = s.width;
    if (fabsf(cosine) * static_cast<float>(s.width) > 1.0f) {
      const float middle = (d - distance(s, 0.0f, sine, i, 0)) / cosine + 0.5f * static_cast<float>(s.width - 1);
      const float half = 1.0f / fabsf(cosine) + 1.0f, most = static_cast<float>(s.width);
      first = static_cast<int>(fminf(fmaxf(middle - half, 0.0f), most));
      end = static_cast<int>(fminf(fmaxf(middle + half + 1.0f, 0.0f), most));
    }
    for (int j = first; j < end; ++j)
      sum = fmaf(weight(s, distance(s, cosine, sine, i, j), k),
                 from[(static_cast<int64_t>(i) * s.width + j) * s.channels], sum);
  }
  y[at] = sum;
}

DEVICE void radon_adjoint_item(int64_t at, float* x, const float* y, RadonShape s) {
  const int64_t pixel = at / s.channels, c = at - pixel * s.channels, row = pixel / s.width, image = row / s.height;
  const int j = static_cast<int>(pixel - row * s.width), i = static_cast<int>(row - image * s.height);
  const float* from = y + image * s.angles * s.detectors * s.channels + c;
  float sum = 0.0f;
  for (int q = 0; q < s.angles; ++q) {
    const float along = distance(s, s.directions[2 * q], s.directions[2 * q + 1], i, j);
    // There are detectors on both sides of every pixel, so that this is a floor.
    const int k = static_cast<int>(along + 0.5f * static_cast<float>(s.detectors - 1));
    const float* line = from + static_cast<int64_t>(q) * s.detectors * s.channels;
    sum = fmaf(weight(s, along, k), line[static_cast<int64_t>(k) * s.channels], sum);
    sum = fmaf(weight(s, along, k + 1), line[static_cast<int64_t>(k + 1) * s.channels], sum);
  }
  x[at] = sum;
}

void check(const char* name, const float* to, const float* from, const RadonShape& s, int n) {
  ITO_CHECK(n >= 0 && s.height > 0 && s.width > 0 && s.channels > 0 && s.angles > 0 && s.directions && to && from &&
                to != from,
            name, ": N ", n, ", H ", s.height, ", W ", s.width, ", C ", s.channels, ", ", s.angles,
            " angles, expected positive sizes, directions and two places");
  // The image's diagonal, and one on either side.
  const int64_t h = s.height - 1, w = s.width - 1, d = s.detectors - 3;
  ITO_CHECK(d >= 0 && d * d >= h * h + w * w, name, ": ", s.detectors, " detectors do not see the corners of ",
            s.height, " x ", s.width);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void radon(Stream& stream, float* y, const float* x, const RadonShape& shape, int n) {
  check("radon", y, x, shape, n);
  for_each<radon_item>("radon", int64_t{n} * shape.angles * shape.detectors * shape.channels, stream, y, x, shape);
}

void radon_adjoint(Stream& stream, float* x, const float* y, const RadonShape& shape, int n) {
  check("radon_adjoint", x, y, shape, n);
  for_each<radon_adjoint_item>("radon_adjoint", int64_t{n} * shape.height * shape.width * shape.channels, stream, x, y,
                               shape);
}

}  // namespace ito
