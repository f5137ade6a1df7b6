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

std::vector<double> integrated_polynomials(const std::vector<double>& nodes, double h) {
  std::vector<double> all;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const std::vector<double> polynomial = lagrange_polynomial(nodes, i);
    double integral = 0;
    for (size_t k = polynomial.size(); k-- > 0;) integral = (integral + polynomial[k] / static_cast<double>(k + 1)) * h;
    all.push_back(integral);
  }
  return all;
}

}  // namespace ito
