// SPDX-License-Identifier: Apache-2.0
// See lagrange.h. Four nodes at most, so the product is simply multiplied out.
#include "engine/samplers/lagrange.h"

namespace ito {

std::vector<double> lagrange_polynomial(const std::vector<double>& nodes, size_t i) {
  std::vector<double> product{1};
  for (size_t m = 0; m < nodes.size(); ++m) {
    if (m == i) continue;
    // Times (u - nodes[m]) / (nodes[i] - nodes[m]).
    const double scale = 1 / (nodes[i] - nodes[m]);
    std::vector<double> next(product.size() + 1);
    for (size_t k = 0; k < product.size(); ++k) {
      next[k] -= product[k] * nodes[m] * scale;
      next[k + 1] += product[k] * scale;
    }
    product = next;
  }
  return product;
}

}  // namespace ito
