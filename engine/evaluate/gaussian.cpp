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
constexpr double kRelativeRounding = 1e-4;  // of a covariance that was stored as fp32 or fp16

double trace_of(const Gaussian& g) {
  double trace = 0;
  for (int64_t i = 0; i < g.dim; ++i) trace += g.covariance[i * g.dim + i];
  return trace;
}

// Rows and their squared lengths, which are made anew now and then: a rotation knows them to rounding errors alone.
struct Rows {
  FeatureSet set;
  std::vector<double> squares = std::vector<double>(static_cast<size_t>(set.count));

  void measure() {
    for (int64_t i = 0; i < set.count; ++i) squares[i] = dot_product(set.row(i), set.row(i), set.dim);
  }

  // Makes rows p and q orthogonal; whether they were not already, to rounding.
  bool rotate(int64_t p, int64_t q) {
    const int64_t n = set.dim;
    double *x = set.values.data() + p * n, *y = set.values.data() + q * n;
    const double xx = squares[p], yy = squares[q], xy = dot_product(x, y, n);
    if (!(std::fabs(xy) > std::sqrt(static_cast<double>(n)) * kUnit * std::sqrt(xx) * std::sqrt(yy))) return false;
    const double zeta = (yy - xx) / (2 * xy);
    const double tangent = std::copysign(1.0, zeta) / (std::fabs(zeta) + std::hypot(1.0, zeta));
    const double cosine = 1 / std::hypot(1.0, tangent), sine = cosine * tangent;
    for (int64_t i = 0; i < n; ++i) {
      const double a = x[i], b = y[i];
      x[i] = cosine * a - sine * b;
      y[i] = sine * a + cosine * b;
    }
    squares[p] = std::max(0.0, xx - tangent * xy);
    squares[q] = yy + tangent * xy;
    return true;
  }
};

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
  ITO_USER_CHECK(*std::min_element(left.begin(), left.end()) >= -kRelativeRounding * largest,
                 "a covariance has a negative eigenvalue, which none has; compute it again, in double precision");
  return factor;
}

double nuclear_norm(FeatureSet points, int threads, const std::function<void()>& swept) {
  // A sweep is a tournament of blocks of rows, small enough to stay near the core: in each round every block meets one
  // other, in all rounds every other once. The games of a round share no row, so threads may play them in any order.
  constexpr int kMostSweeps = 60;
  constexpr int64_t kBlock = 16;
  Rows rows{std::move(points)};
  const int64_t n = rows.set.count, blocks = (n + kBlock - 1) / kBlock, players = blocks + blocks % 2;
  std::vector<int64_t> seats(static_cast<size_t>(players));
  std::iota(seats.begin(), seats.end(), int64_t{0});
  std::atomic<int64_t> turns{1};
  const auto meet = [&](int64_t first, int64_t second) {  // first <= second
    int64_t turned = 0;
    for (int64_t p = first * kBlock; p < std::min(n, (first + 1) * kBlock); ++p)
      for (int64_t q = std::max(p + 1, second * kBlock); q < std::min(n, (second + 1) * kBlock); ++q)
        turned += rows.rotate(p, q);
    turns += turned;
  };
  for (int sweep = 0; turns > 0; ++sweep) {
    ITO_CHECK(sweep < kMostSweeps, "singular values of ", n, " x ", rows.set.dim, " numbers: not found in ",
              kMostSweeps, " sweeps; are the numbers finite?");
    turns = 0;
    rows.measure();
    for_each_in_threads(0, blocks, threads, [&](int64_t block) { meet(block, block); });
    for (int64_t round = 1; round < players; ++round) {
      for_each_in_threads(0, players / 2, threads, [&](int64_t game) {
        const auto [first, second] = std::minmax(seats[game], seats[players - 1 - game]);
        if (second < blocks) meet(first, second);
      });
      std::rotate(seats.begin() + 1, seats.end() - 1, seats.end());
    }
    swept();
  }
  double sum = 0;
  for (const double square : rows.squares) sum += std::sqrt(square);
  return sum;
}

double frechet_distance(const Gaussian& a, const Gaussian& b, int threads, const std::function<void()>& swept) {
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
    root = nuclear_norm(std::move(product), threads, swept);
  }
  const double means = squared_distance(a.mean.data(), b.mean.data(), a.dim);
  return std::max(0.0, means + (trace_of(a) + trace_of(b) - 2 * root));
}

}  // namespace ito
