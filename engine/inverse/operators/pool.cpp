// SPDX-License-Identifier: Apache-2.0
// Means of F x F pixels: super-resolution in its simplest form.
#include "engine/inverse/operators/separable.h"

namespace ito {
namespace {

DenseMatrix means(int size, int factor) {
  DenseMatrix a{size / factor, size, std::vector<double>(static_cast<size_t>(size / factor * size), 0.0)};
  for (int i = 0; i < size; ++i) a.at(i / factor, i) = 1.0 / factor;
  return a;
}

std::unique_ptr<MeasurementOperator> make_pool(const ImageShape& image, const std::string& text,
                                               const std::string& args) {
  const int factor = factor_of_sides(image, text, args, "pool:F, the side of the squares that are averaged");
  return separable_operator(image, means(image.height, factor), means(image.width, factor));
}

}  // namespace

extern const OperatorKind kPoolOperator;
const OperatorKind kPoolOperator = {"pool", "pool:F  means of F x F pixels", make_pool};

}  // namespace ito
