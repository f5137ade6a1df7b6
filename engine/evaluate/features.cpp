// SPDX-License-Identifier: Apache-2.0
// See features.h.
#include "engine/evaluate/features.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char *kFeatures = "arr_0", *kMean = "mu", *kCovariance = "sigma";
constexpr double kRounding = 1e-4;  // of a covariance that was stored as fp32 or fp16

void check_finite(const NpzFile& file, const char* name, const std::vector<double>& values) {
  const auto bad = std::find_if(values.begin(), values.end(), [](double v) { return !std::isfinite(v); });
  ITO_USER_CHECK(bad == values.end(), file.path(), ": ", name, " has a value of ", *bad, "; expected finite numbers");
}

std::vector<double> read_finite(const NpzFile& file, const char* name) {
  std::vector<double> values = file.read_doubles(name);
  check_finite(file, name, values);
  return values;
}

// Symmetric, no variance below 0, no correlation above 1; made symmetric to the last bit.
void check_covariance(const NpzFile& file, std::vector<double>& s, int64_t dim) {
  double largest = 0;
  for (int64_t i = 0; i < dim; ++i) {
    ITO_USER_CHECK(s[i * dim + i] >= 0, file.path(), ": ", kCovariance, " has a variance of ", s[i * dim + i],
                   "; expected a covariance, as numpy.cov(features, rowvar=False) is");
    largest = std::max(largest, s[i * dim + i]);
  }
  for (int64_t i = 0; i < dim; ++i)
    for (int64_t j = 0; j < i; ++j) {
      double &a = s[i * dim + j], &b = s[j * dim + i];
      const double bound = std::sqrt(s[i * dim + i] * s[j * dim + j]) + kRounding * largest;
      ITO_USER_CHECK(std::fabs(a - b) <= kRounding * largest && std::fabs(a) <= bound, file.path(), ": ", kCovariance,
                     " is no covariance: its entries (", i, ", ", j, ") and (", j, ", ", i, ") are ", a, " and ", b,
                     "; expected what numpy.cov(features, rowvar=False) gives");
      a = b = (a + b) / 2;
    }
}

}  // namespace

FeatureSet pixel_features(const std::vector<float>& images, int64_t dim) {
  return {static_cast<int64_t>(images.size()) / dim, dim, {images.begin(), images.end()}, {}, {}};
}

bool holds_features(const NpzFile& file) {
  if (!file.has(kFeatures)) return file.has(kMean);
  return file.header(kFeatures).shape.size() == 2;
}

FeatureSet read_features(const NpzFile& file) {
  FeatureSet set;
  if (file.has(kFeatures) && file.header(kFeatures).shape.size() == 2) {
    const std::vector<int64_t> shape = file.header(kFeatures).shape;
    ITO_USER_CHECK(shape[0] > 0 && shape[1] > 0, file.path(), ": ", kFeatures, " has the shape ", shape_text(shape),
                   "; expected features (N, D), one row an image");
    set.count = shape[0];
    set.dim = shape[1];
    set.values = read_finite(file, kFeatures);
    return set;
  }
  ITO_USER_CHECK(file.has(kMean) && file.has(kCovariance), file.path(), ": holds no features; expected ", kFeatures,
                 " (N, D), or ", kMean, " (D) and ", kCovariance, " (D, D)");
  const std::vector<int64_t> mean = file.header(kMean).shape, covariance = file.header(kCovariance).shape;
  ITO_USER_CHECK(mean.size() == 1 && mean[0] > 0 && covariance == (std::vector<int64_t>{mean[0], mean[0]}), file.path(),
                 ": ", kMean, " and ", kCovariance, " have the shapes ", shape_text(mean), " and ",
                 shape_text(covariance), "; expected (D) and (D, D)");
  set.dim = mean[0];
  set.mean = read_finite(file, kMean);
  set.covariance = read_finite(file, kCovariance);
  check_covariance(file, set.covariance, set.dim);
  return set;
}

}  // namespace ito
