// SPDX-License-Identifier: Apache-2.0
// See gaussian.h. The linear algebra is our own: LAPACK's results depend on which library stands behind it and on that
// library's threads, ours on the numbers alone; and one-sided Jacobi, the one method needed, is a page.
#include "engine/evaluate/gaussian.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/data/in_threads.h"
#include "engine/evaluate/pairs.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr double kUnit = std::numeric_limits<double>::epsilon();
constexpr double kRounding = 1e-4;  // of a covariance that was stored as fp32 or fp16

double trace_of(const Gaussian& g) {
  double trace = 0;
  for (int64_t i = 0; i < g.dim; ++i) trace += g.covariance[i * g.dim + i];
  return trace;
}

// The two rows p and q of length n made orthogonal; whether they were not already, to rounding.
bool rotate(double* p, double* q, int64_t n) {
  const double pp = dot_product(p, p, n), qq = dot_product(q, q, n), pq = dot_product(p, q, n);
  if (!(std::fabs(pq) > std::sqrt(static_cast<double>(n)) * kUnit * std::sqrt(pp) * std::sqrt(qq))) return false;
  const double zeta = (qq - pp) / (2 * pq);
  const double tangent = std::copysign(1.0, zeta) / (std::fabs(zeta) + std::hypot(1.0, zeta));
  const double cosine = 1 / std::hypot(1.0, tangent), sine = cosine * tangent;
  for (int64_t i = 0; i < n; ++i) {
    const double a = p[i], b = q[i];
    p[i] = cosine * a - sine * b;
    q[i] = sine * a + cosine * b;
  }
  return true;
}

}  // namespace

Gaussian gaussian_of(const FeatureSet& set, int threads, std::atomic<int64_t>* progress) {
  if (set.is_statistics()) return {set.dim, set.mean, set.covariance};
  ITO_CHECK(set.count > 1, "the covariance of ", set.count, " points");
  const int64_t dim = set.dim, n = set.count;
  Gaussian g{dim, std::vector<double>(static_cast<size_t>(dim)), std::vector<double>(static_cast<size_t>(dim * dim))};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t d = 0; d < dim; ++d) g.mean[d] += set.row(i)[d];
  for (double& mean : g.mean) mean /= static_cast<double>(n);
  FeatureSet centred{dim, n, std::vector<double>(set.values.size()), {}, {}};  // a feature a row
  for (int64_t i = 0; i < n; ++i)
    for (int64_t d = 0; d < dim; ++d) centred.values[d * n + i] = set.row(i)[d] - g.mean[d];
  for_each_row_of_pairs(centred, centred, dot_product, threads, progress, [&](int64_t d, const double* products) {
    for (int64_t e = 0; e < dim; ++e) g.covariance[d * dim + e] = products[e] / static_cast<double>(n - 1);
  });
  return g;
}

FeatureSet factor_of(const std::vector<double>& s, int64_t dim) {
  FeatureSet factor{0, dim, {}, {}, {}};
  std::vector<double> left(static_cast<size_t>(dim));  // the diagonal of what no row stands for yet
  for (int64_t i = 0; i < dim; ++i) left[i] = s[i * dim + i];
  const double largest = *std::max_element(left.begin(), left.end());
  const double tolerance = static_cast<double>(dim) * kUnit * largest;
  while (factor.count < dim) {
    const int64_t pivot = std::max_element(left.begin(), left.end()) - left.begin();
    if (!(left[pivot] > tolerance)) break;
    std::vector<double> row(s.begin() + static_cast<std::ptrdiff_t>(pivot * dim),
                            s.begin() + static_cast<std::ptrdiff_t>((pivot + 1) * dim));
    for (int64_t k = 0; k < factor.count; ++k) {
      const double* other = factor.row(k);
      const double by = other[pivot];
      for (int64_t i = 0; i < dim; ++i) row[i] -= by * other[i];
    }
    const double root = std::sqrt(left[pivot]);
    for (int64_t i = 0; i < dim; ++i) {
      row[i] /= root;
      left[i] -= row[i] * row[i];
    }
    left[pivot] = 0;
    factor.values.insert(factor.values.end(), row.begin(), row.end());
    ++factor.count;
  }
  ITO_USER_CHECK(*std::min_element(left.begin(), left.end()) >= -kRounding * largest,
                 "a covariance has a negative eigenvalue, which none has; compute it again, in double precision");
  return factor;
}

double nuclear_norm(FeatureSet rows, int threads) {
  // Rounds of a tournament: in each every row meets one other, in a sweep every other once. The pairs of a round share
  // no row, so threads may turn them in any order.
  constexpr int kMostSweeps = 60;
  const int64_t n = rows.count, players = n + n % 2;
  std::vector<int64_t> seats(static_cast<size_t>(players));
  std::iota(seats.begin(), seats.end(), int64_t{0});
  for (int sweep = 0, turned = 1; turned; ++sweep) {
    ITO_CHECK(sweep < kMostSweeps, "singular values of ", n, " x ", rows.dim, " numbers: not found in ", kMostSweeps,
              " sweeps; are the numbers finite?");
    std::atomic<int> turns{0};
    for (int64_t round = 1; round < players; ++round) {
      for_each_in_threads(0, players / 2, threads, [&](int64_t game) {
        const auto [p, q] = std::minmax(seats[game], seats[players - 1 - game]);
        if (q < n && rotate(rows.values.data() + p * rows.dim, rows.values.data() + q * rows.dim, rows.dim)) ++turns;
      });
      std::rotate(seats.begin() + 1, seats.end() - 1, seats.end());
    }
    turned = turns;
  }
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::sqrt(dot_product(rows.row(i), rows.row(i), rows.dim));
  return sum;
}

double frechet_distance(const Gaussian& a, const Gaussian& b, int threads) {
  ITO_CHECK(a.dim == b.dim, "the distance of Gaussians of ", a.dim, " and ", b.dim, " dimensions");
  FeatureSet first = factor_of(a.covariance, a.dim), second = factor_of(b.covariance, b.dim);
  if (first.count > second.count) std::swap(first, second);  // fewer rows to turn
  double root = 0;
  if (first.count > 0) {
    FeatureSet product{first.count, second.count, {}, {}, {}};
    product.values.resize(static_cast<size_t>(first.count * second.count));
    for_each_row_of_pairs(first, second, dot_product, threads, nullptr, [&](int64_t i, const double* products) {
      std::copy(products, products + second.count, product.values.data() + i * second.count);
    });
    root = nuclear_norm(std::move(product), threads);
  }
  const double means = squared_distance(a.mean.data(), b.mean.data(), a.dim);
  return std::max(0.0, means + (trace_of(a) + trace_of(b) - 2 * root));
}

}  // namespace ito
