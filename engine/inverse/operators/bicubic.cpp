// SPDX-License-Identifier: Apache-2.0
// Downsampling by F with the cubic of Keys (1981), a = -1/2, stretched F times so that it does not alias. Borders are
// mirrored, the edge repeated. Output o lies in the middle of pixels o F to o F + F - 1, between two of them if F is
// even.
#include <cmath>

#include "engine/inverse/operators/separable.h"

namespace ito {
namespace {

double keys(double d) {
  constexpr double kA = -0.5;
  d = std::abs(d);
  if (d <= 1) return ((kA + 2) * d - (kA + 3)) * d * d + 1;
  return d < 2 ? ((kA * d - 5 * kA) * d + 8 * kA) * d - 4 * kA : 0.0;
}

int mirrored(int at, int size) {
  at = ((at % (2 * size)) + 2 * size) % (2 * size);
  return at < size ? at : 2 * size - 1 - at;
}

DenseMatrix cubic(int size, int factor) {
  DenseMatrix a{size / factor, size, std::vector<double>(static_cast<size_t>(size / factor * size), 0.0)};
  for (int o = 0; o < a.rows; ++o) {
    const double centre = o * factor + (factor - 1) / 2.0;
    const int first = static_cast<int>(std::ceil(centre)) - 2 * factor;
    double sum = 0;
    for (int i = 0; i <= 4 * factor; ++i) sum += keys((first + i - centre) / factor);
    for (int i = 0; i <= 4 * factor; ++i)
      a.at(o, mirrored(first + i, size)) += keys((first + i - centre) / factor) / sum;
  }
  return a;
}

std::unique_ptr<MeasurementOperator> make_bicubic(const ImageShape& image, const std::string& text,
                                                  const std::string& args) {
  const int factor = factor_of_sides(image, text, args, "bicubic:F, how many times smaller the measurement is");
  return separable_operator(image, cubic(image.height, factor), cubic(image.width, factor));
}

}  // namespace

extern const OperatorKind kBicubicOperator;
const OperatorKind kBicubicOperator = {"bicubic", "bicubic:F  F times smaller by an antialiased cubic", make_bicubic};

}  // namespace ito
