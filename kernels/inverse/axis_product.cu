// SPDX-License-Identifier: Apache-2.0
// See the header. An item is a number of y. It reads as many numbers of x as its band is wide; neighbours read the same
// ones of A, from cache.
#include "kernels/inverse/axis_product.h"

#include "dialect.h"

namespace ito {
namespace {

DEVICE void axis_product_item(int64_t at, float* y, const float* x, AxisMatrix a, int64_t inner) {
  const int64_t line = at / inner, i = at - line * inner, o = line / a.rows, r = line - o * a.rows;
  const float* from = x + o * a.columns * inner + i;
  const float* weights = a.values + r * a.columns;
  float sum = 0.0f;
  for (int l = a.band[2 * r]; l < a.band[2 * r + 1]; ++l) sum = fmaf(weights[l], from[l * inner], sum);
  y[at] = sum;
}

}  // namespace

void axis_product(Stream& stream, float* y, const float* x, const AxisMatrix& a, int64_t outer, int64_t inner) {
  ITO_CHECK(outer >= 0 && inner > 0 && a.rows > 0 && a.columns > 0 && a.values && a.band && x && y && x != y,
            "axis_product: ", outer, " times ", a.rows, " x ", a.columns, " times ", inner,
            ", expected positive sizes, a matrix and two places");
  for_each<axis_product_item>("axis_product", outer * a.rows * inner, stream, y, x, a, inner);
}

}  // namespace ito
