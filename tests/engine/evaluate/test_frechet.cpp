// SPDX-License-Identifier: Apache-2.0
// The Frechet distance against closed forms: covariances that commute, two dimensions, equal sets; and its parts.
#include <gtest/gtest.h>

#include <limits>

#include "engine/evaluate/gaussian.h"
#include "engine/evaluate/metric.h"
#include "tests/engine/evaluate/points.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

constexpr double u = std::numeric_limits<double>::epsilon();

// Q diag(d) Q^T with the reflection Q = 1 - 2 v v^T / v.v.
std::vector<double> turned(const std::vector<double>& d, const std::vector<double>& v) {
  const auto n = static_cast<int64_t>(d.size());
  double vv = 0;
  for (const double x : v) vv += x * x;
  std::vector<double> q(n * n), s(n * n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) q[i * n + j] = (i == j) - 2 * v[i] * v[j] / vv;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t k = 0; k < n; ++k) s[i * n + j] += q[i * n + k] * d[k] * q[j * n + k];
  return s;
}

double distance_of(const FeatureSet& a, const FeatureSet& b) {
  return metric_named("frechet", "").measure(a, b, {}).values.at(0).second;
}

// With common axes the distance is a sum over them: (m1 - m2)^2 + (sqrt a - sqrt b)^2. Errors: roundings of a sum of
// 2 n terms of size 100, and a rounding of the largest singular value in each of the n.
TEST(Frechet, OfCovariancesThatCommute) {
  for (const int64_t n : {1, 2, 5, 24, 61}) {
    std::vector<double> a(n), b(n), v(n), mean(n);
    double expected = 0;
    for (int64_t i = 0; i < n; ++i) {
      a[i] = 100.0 / static_cast<double>(1 + i * i);
      b[i] = static_cast<double>((i * 7) % n) + 0.25;
      v[i] = std::sin(static_cast<double>(i + 1));
      mean[i] = std::cos(static_cast<double>(i));
      expected += mean[i] * mean[i] + std::pow(std::sqrt(a[i]) - std::sqrt(b[i]), 2);
    }
    const Gaussian first{n, mean, turned(a, v)}, second{n, std::vector<double>(n), turned(b, v)};
    const double bound = 10 * u * static_cast<double>(n) * 100;
    EXPECT_NEAR(frechet_distance(first, second, 1), expected, bound) << n;
    EXPECT_NEAR(frechet_distance(second, first, 3), expected, bound) << n;
    EXPECT_NEAR(frechet_distance(first, first, 1), 0, bound) << n;
  }
}

// Of 2 x 2 matrices, by Cayley and Hamilton: tr (S1 S2)^(1/2) = sqrt(tr(S1 S2) + 2 sqrt(det S1 det S2)).
TEST(Frechet, OfTwoDimensions) {
  const std::vector<double> s{3, 1, 1, 2}, t{1, -0.5, -0.5, 4};
  const double trace = 3 * 1 + 1 * -0.5 + 1 * -0.5 + 2 * 4, determinants = 5 * 3.75;
  const double expected = (4 + 25) + (3 + 2) + (1 + 4) - 2 * std::sqrt(trace + 2 * std::sqrt(determinants));
  EXPECT_NEAR(frechet_distance({2, {1, 2}, s}, {2, {-1, 7}, t}, 1), expected, 100 * u);
  // The same two as statistics that a user brings.
  const FeatureSet a{0, 2, {}, {1, 2}, s}, b{0, 2, {}, {-1, 7}, t};
  EXPECT_NEAR(distance_of(a, b), expected, 100 * u);
}

// One set has fewer points than dimensions, so that its covariance has a null space: no root of a rounding error may
// come of it. A set against itself moved is as far as it was moved.
TEST(Frechet, OfFewPoints) {
  const FeatureSet few = random_points(5, 30, 1);
  FeatureSet moved = few;
  for (size_t i = 0; i < moved.values.size(); ++i) moved.values[i] += 2;
  EXPECT_NEAR(distance_of(few, few), 0, 1e-13);
  EXPECT_NEAR(distance_of(few, moved), 30 * 4, 1e-11);
  EXPECT_EQ(factor_of(gaussian_of(few, 1).covariance, 30).count, 4);
  // All points in one place: a covariance of zeros.
  const FeatureSet same = points(2, {1, 1, 1, 1, 1, 1});
  EXPECT_EQ(distance_of(same, points(2, {4, 5, 4, 5})), 25);
}

TEST(Frechet, MeanAndCovarianceByHand) {
  const Gaussian g = gaussian_of(points(2, {0, 0, 2, 0, 4, 6}), 1);
  EXPECT_EQ(g.mean, (std::vector<double>{2, 2}));
  EXPECT_EQ(g.covariance, (std::vector<double>{4, 6, 6, 12}));
}

TEST(Frechet, TheFactorMakesTheMatrix) {
  const std::vector<double> s = gaussian_of(random_points(40, 17, 2), 1).covariance;
  const FeatureSet factor = factor_of(s, 17);
  EXPECT_EQ(factor.count, 17);
  for (int64_t i = 0; i < 17; ++i)
    for (int64_t j = 0; j < 17; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < factor.count; ++k) sum += factor.row(k)[i] * factor.row(k)[j];
      EXPECT_NEAR(sum, s[i * 17 + j], 20 * u * s[0]);
    }
}

// Of several blocks of rows, the last one short: threads play the same games. The sum of singular values is unchanged
// by the order of the rows, to rounding.
TEST(Frechet, SingularValuesDoNotKnowTheThreads) {
  const FeatureSet rows = random_points(53, 70, 8);
  int sweeps = 0;
  const double one = nuclear_norm(rows, 1, [&] { ++sweeps; });
  for (const int threads : {2, 3, 7}) EXPECT_EQ(nuclear_norm(rows, threads), one);  // bit for bit
  EXPECT_NEAR(nuclear_norm(reversed(rows), 1), one, 53 * 53 * u * one);
  EXPECT_GT(sweeps, 2);
}

// Every pair of its features agrees with a correlation, and all three together do not.
TEST(Frechet, RefusesWhatIsNoCovariance) {
  const std::vector<double> s{1, -0.9, -0.9, -0.9, 1, -0.9, -0.9, -0.9, 1};
  EXPECT_EQ(user_error([&] { factor_of(s, 3); }),
            "a covariance has a negative eigenvalue, which none has; compute it again, in double precision");
}

// A matrix whose singular values are known: rows of an orthogonal matrix times d, turned by another.
TEST(Frechet, SingularValues) {
  const int64_t n = 9;
  std::vector<double> d(n), v(n), w(n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    d[i] = std::pow(10.0, static_cast<double>(-i));
    v[i] = std::sin(static_cast<double>(3 * i + 1));
    w[i] = std::cos(static_cast<double>(2 * i + 1));
    sum += d[i];
  }
  // turned(d, v) is symmetric with eigenvalues d; a reflection from the right leaves the singular values.
  const FeatureSet rows = points(n, turned(d, v));
  FeatureSet reflected = rows;
  double ww = 0;
  for (const double x : w) ww += x * x;
  for (int64_t i = 0; i < n; ++i) {
    double along = 0;
    for (int64_t j = 0; j < n; ++j) along += rows.row(i)[j] * w[j];
    for (int64_t j = 0; j < n; ++j) reflected.values[i * n + j] -= 2 * along * w[j] / ww;
  }
  EXPECT_NEAR(nuclear_norm(rows, 1), sum, 20 * u);
  EXPECT_NEAR(nuclear_norm(reflected, 2), sum, 20 * u);
}

}  // namespace
}  // namespace ito::test
