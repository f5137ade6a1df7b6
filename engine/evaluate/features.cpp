// SPDX-License-Identifier: Apache-2.0
// See features.h.
#include "engine/evaluate/features.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "engine/io/npz.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char *kRows = "arr_0", *kFeatures = "features", *kMean = "mu", *kCovariance = "sigma";
constexpr double kRounding = 1e-4;  // of a covariance that was stored as fp32 or fp16

void check_finite(const std::string& path, const char* name, const std::vector<double>& values) {
  const auto bad = std::find_if(values.begin(), values.end(), [](double v) { return !std::isfinite(v); });
  ITO_USER_CHECK(bad == values.end(), path, ": ", name, " has a value of ", *bad, "; expected finite numbers");
}

std::vector<double> read_finite(const NpzFile& file, const char* name) {
  std::vector<double> values = file.read_doubles(name);
  check_finite(file.path(), name, values);
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

FeatureSet rows_of(const std::string& path, const char* name, const std::vector<int64_t>& shape,
                   std::vector<double> values) {
  ITO_USER_CHECK(shape.size() == 2 && shape[0] > 0 && shape[1] > 0, path, ": ", name, " has the shape ",
                 shape_text(shape), "; expected features (N, D), one row an image");
  check_finite(path, name, values);
  return {shape[0], shape[1], std::move(values), {}, {}};
}

FeatureSet read_npz_features(const NpzFile& file) {
  for (const char* name : {kRows, kFeatures})
    if (file.has(name) && (name == kFeatures || file.header(name).shape.size() == 2))
      return rows_of(file.path(), name, file.header(name).shape, file.read_doubles(name));
  FeatureSet set;
  ITO_USER_CHECK(file.has(kMean) && file.has(kCovariance), file.path(), ": holds no features; expected ", kRows,
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

}  // namespace

FeatureSet pixel_features(const std::vector<float>& images, int64_t dim) {
  return {static_cast<int64_t>(images.size()) / dim, dim, {images.begin(), images.end()}, {}, {}};
}

bool holds_features(const std::string& path) {
  if (!std::filesystem::is_regular_file(path)) return false;
  if (!is_npz_file(path)) {
    if (!path.ends_with(".safetensors")) return false;
    const SafetensorsFile file = SafetensorsFile::open(path);
    return file.has(kFeatures) && !file.has("samples");
  }
  const NpzFile file = NpzFile::open(path);
  return file.has(kRows) ? file.header(kRows).shape.size() == 2 : file.has(kFeatures) || file.has(kMean);
}

FeatureSet read_features(const std::string& path) {
  if (is_npz_file(path)) return read_npz_features(NpzFile::open(path));
  const SafetensorsFile file = SafetensorsFile::open(path);
  const std::vector<float> values = file.read_floats(kFeatures);
  return rows_of(path, kFeatures, file.entry(kFeatures).shape, {values.begin(), values.end()});
}

}  // namespace ito
