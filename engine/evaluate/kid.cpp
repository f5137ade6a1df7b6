// SPDX-License-Identifier: Apache-2.0
// The kernel inception distance as it is published: the unbiased squared MMD with the kernel (x . y / dim + 1)^3, in
// the mean over blocks of points drawn without replacement, and what it varies by among them (Binkowski et al. 2018,
// "Demystifying MMD GANs", section 4 and appendix D). Which points make a block is a function of the seed, the block
// and the points' order.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/evaluate/mmd.h"
#include "engine/evaluate/pairs.h"
#include "kernels/random/philox.h"

namespace ito {
namespace {

// Of a set, in a block; a set of fewer is taken whole.
int64_t points_of(const FeatureSet& set, const MetricSettings& settings) {
  return std::min(settings.block_points, set.count);
}
// Where a block takes both sets whole, all would be the same.
int blocks_of(const FeatureSet& samples, const FeatureSet& reference, const MetricSettings& settings) {
  const int64_t most = settings.block_points;
  return samples.count <= most && reference.count <= most ? 1 : settings.blocks;
}

FeatureSet block_of(const FeatureSet& set, int64_t points, uint64_t seed, uint32_t block, uint32_t side) {
  if (points == set.count) return set;
  std::vector<int64_t> order(static_cast<size_t>(set.count));
  std::iota(order.begin(), order.end(), int64_t{0});
  FeatureSet drawn{points, set.dim, {}, {}, {}};
  for (int64_t i = 0; i < points; ++i) {
    const Random4 word = philox4x32(seed, static_cast<uint32_t>(i), block, side, 0);
    const uint64_t bits = uint64_t{word.v[1]} << 32 | word.v[0];
    std::swap(order[i], order[i + static_cast<int64_t>(bits % static_cast<uint64_t>(set.count - i))]);
    drawn.values.insert(drawn.values.end(), set.row(order[i]), set.row(order[i]) + set.dim);
  }
  return drawn;
}

int64_t work_of_kid(const FeatureSet& samples, const FeatureSet& reference, const MetricSettings& settings) {
  return (2 * points_of(samples, settings) + points_of(reference, settings)) * blocks_of(samples, reference, settings);
}

MetricResult measure_kid(const FeatureSet& samples, const FeatureSet& reference, const MetricSettings& settings) {
  const auto dim = static_cast<double>(samples.dim);
  const auto kernel = [dim](double product) {
    const double base = product / dim + 1;
    return base * base * base;
  };
  const int blocks = blocks_of(samples, reference, settings);
  std::vector<double> found;
  for (int b = 0; b < blocks; ++b) {
    const auto block = static_cast<uint32_t>(b);
    found.push_back(unbiased_squared_mmd(block_of(samples, points_of(samples, settings), settings.seed, block, 0),
                                         block_of(reference, points_of(reference, settings), settings.seed, block, 1),
                                         dot_product, kernel, settings));
  }
  const double mean = std::accumulate(found.begin(), found.end(), 0.0) / blocks;
  double square = 0;
  for (const double value : found) square += (value - mean) * (value - mean) / blocks;
  return {{{"kid", mean}},
          {{"kernel", "(x.y / dimensions + 1)^3"},
           {"estimator", "unbiased"},
           {"blocks", blocks},
           {"points_of_a_block", settings.block_points},
           {"standard_deviation_of_blocks", std::sqrt(square)},
           {"seed", settings.seed}}};
}

}  // namespace

extern const Metric kKid;
const Metric kKid = {
    "kid",
    "kernel inception distance: the mean of mmd-polynomial over 100 blocks of 1000 points (Binkowski et "
    "al. 2018)",
    2, work_of_kid, measure_kid};

}  // namespace ito
