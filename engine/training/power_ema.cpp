// SPDX-License-Identifier: Apache-2.0
// See power_ema.h.
#include "engine/training/power_ema.h"

#include <algorithm>
#include <cmath>

#include "engine/inverse/dense.h"
#include "kernels/error.h"

namespace ito {

double width_of_gamma(double gamma) {
  return std::sqrt(gamma + 1) / ((gamma + 2) * std::sqrt(gamma + 3));
}

// Width falls as gamma grows, about as 1 / gamma; a hundred halvings of an interval end at the last bit.
double gamma_of_width(double sigma_rel) {
  ITO_CHECK(sigma_rel >= kLeastWidth && sigma_rel <= kMostWidth, "sigma_rel is ", sigma_rel, ", expected ", kLeastWidth,
            " to ", kMostWidth);
  double low = 0, high = 2 / kLeastWidth;
  for (int halvings = 0; halvings < 100; ++halvings) {
    const double middle = (low + high) / 2;
    (width_of_gamma(middle) > sigma_rel ? low : high) = middle;
  }
  return low;
}

// With m the smaller time: (ga + 1) (gb + 1) / (ga + gb + 1) m^(ga + gb + 1) / (ta^(ga + 1) tb^(gb + 1)), its powers
// as one of a ratio below 1.
double inner_product(const PowerProfile& a, const PowerProfile& b) {
  const bool a_first = a.updates <= b.updates;
  const double ratio = a_first ? a.updates / b.updates : b.updates / a.updates;
  const double power = a_first ? b.gamma : a.gamma;
  return (a.gamma + 1) * (b.gamma + 1) / (a.gamma + b.gamma + 1) * std::pow(ratio, power) /
         std::max(a.updates, b.updates);
}

// Both sides are scaled to profiles of norm 1, whose inner products are 1 at most.
Reconstruction reconstruct_profile(const std::vector<PowerProfile>& kept, const PowerProfile& wanted) {
  std::vector<size_t> used;
  for (size_t i = 0; i < kept.size(); ++i)
    if (std::none_of(used.begin(), used.end(),
                     [&](size_t j) { return kept[j].gamma == kept[i].gamma && kept[j].updates == kept[i].updates; }))
      used.push_back(i);
  const auto norm = [](const PowerProfile& p) { return std::sqrt(inner_product(p, p)); };
  const auto cosine = [&](const PowerProfile& a, const PowerProfile& b) {
    return inner_product(a, b) / (norm(a) * norm(b));
  };
  const auto n = static_cast<int64_t>(used.size());
  DenseMatrix gram{n, n, std::vector<double>(used.size() * used.size())};
  std::vector<double> right;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) gram.at(i, j) = cosine(kept[used[i]], kept[used[j]]);
    right.push_back(cosine(kept[used[i]], wanted));
  }
  const std::vector<double> x = solve_cholesky(cholesky_of(gram), right);
  Reconstruction found{.coefficients = std::vector<double>(kept.size(), 0.0), .error = 1};
  for (int64_t i = 0; i < n; ++i) {
    found.coefficients[used[i]] = x[i] * norm(wanted) / norm(kept[used[i]]);
    found.error -= x[i] * right[i];
  }
  found.error = std::sqrt(std::max(0.0, found.error));
  return found;
}

}  // namespace ito
