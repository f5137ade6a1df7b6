// SPDX-License-Identifier: Apache-2.0
// MMD^2 with the kernel of the kernel inception distance (Binkowski et al. 2018, "Demystifying MMD GANs", section 4):
// k(x, y) = (x . y / dim + 1)^3. Of the whole sets at once, not as a mean over subsets of them.
#include "engine/evaluate/mmd.h"
#include "engine/evaluate/pairs.h"

namespace ito {
namespace {

MetricResult measure_mmd_polynomial(const FeatureSet& samples, const FeatureSet& reference,
                                    const MetricSettings& settings) {
  const auto dim = static_cast<double>(samples.dim);
  const auto kernel = [dim](double product) {
    const double base = product / dim + 1;
    return base * base * base;
  };
  return {{{"mmd2_polynomial", unbiased_squared_mmd(samples, reference, dot_product, kernel, settings)}},
          {{"kernel", "(x.y / dimensions + 1)^3"}, {"estimator", "unbiased"}}};
}

}  // namespace

extern const Metric kMmdPolynomial;
const Metric kMmdPolynomial = {"mmd-polynomial",
                               "squared MMD, unbiased, kernel (x.y / dimensions + 1)^3 (Binkowski et al. 2018)", 2,
                               mmd_work, measure_mmd_polynomial};

}  // namespace ito
