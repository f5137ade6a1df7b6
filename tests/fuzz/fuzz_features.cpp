// SPDX-License-Identifier: Apache-2.0
// Features that a user brings, or their mean and covariance: an npz archive or a safetensors file, told by the bytes.
#include <cmath>

#include "engine/evaluate/features.h"
#include "tests/fuzz/memory_file.h"

namespace ito {

void fuzz_features(Bytes bytes) {
  static MemoryFile memory("a.safetensors");
  memory.set(bytes);
  attempt([&] { holds_features(memory.path()); });
  const FeatureSet set = read_features(memory.path());
  demand(set.dim > 0, "a feature has numbers");
  const auto dim = static_cast<size_t>(set.dim);
  if (set.is_statistics())
    demand(set.mean.size() == dim && set.covariance.size() == dim * dim, "a mean and a covariance are of one size");
  else
    demand(set.values.size() == static_cast<size_t>(set.count) * dim, "every image has its features");
  for (const std::vector<double>* numbers : {&set.values, &set.mean, &set.covariance})
    for (const double number : *numbers) demand(std::isfinite(number), "features are finite");
  for (size_t i = 0; !set.covariance.empty() && i < dim; ++i)
    for (size_t j = 0; j < i; ++j)
      demand(set.covariance[i * dim + j] == set.covariance[j * dim + i], "a covariance is symmetric");
}

}  // namespace ito
