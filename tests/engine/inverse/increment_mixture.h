// SPDX-License-Identifier: Apache-2.0
// A denoiser for signals of heavy-tailed increments that is exact for a law near theirs. One increment's law is close
// to a few centred normals, n independent ones to the product of these: parts^n of them, diagonal in the increments
// though not in the signal. So the model is of the increments, and what is measured of a signal is measured of them
// through the cumulative sum (of_increments). What this law's posterior is, MixturePosterior says; how near it is to
// the true law's, Gibbs sampling does.
#pragma once
#include <cmath>
#include <span>
#include <vector>

#include "engine/diffusion/gaussian_mixture.h"
#include "engine/io/json_file.h"
#include "tests/engine/inverse/gibbs_signals.h"

namespace ito::ref {

struct NormalPart {
  double weight, variance;
};

// Of scale 1. They minimise the total variation distance to the law, found by descent from several starts on a grid
// that is dense around 0 and reaches to 2000. Laplace: 0.0325 of two parts, 0.0116 of three; Student with 3 degrees of
// freedom: 0.0154 and 0.0043. The variance is less than the law's 2 and 3 (1.68, 1.86; 1.95, 2.32): tails are short.
inline constexpr NormalPart kLaplace2[] = {{0.3392, 0.2756}, {0.6608, 2.4080}};
inline constexpr NormalPart kLaplace3[] = {{0.1140, 0.08591}, {0.4411, 0.7214}, {0.4449, 3.4491}};
inline constexpr NormalPart kStudent2[] = {{0.5721, 0.6848}, {0.4279, 3.6424}};
inline constexpr NormalPart kStudent3[] = {{0.3333, 0.5033}, {0.5251, 1.7015}, {0.1416, 8.8628}};

inline std::span<const NormalPart> normal_parts(Increments increments, int parts) {
  if (increments == Increments::Laplace)
    return parts == 2 ? std::span<const NormalPart>(kLaplace2) : std::span<const NormalPart>(kLaplace3);
  return parts == 2 ? std::span<const NormalPart>(kStudent2) : std::span<const NormalPart>(kStudent3);
}

// Half the integral of the difference of the densities, of scale 1.
inline double total_variation(Increments increments, int parts) {
  const SignalLaw law{increments, 1, 1};
  constexpr double kStep = 0.01, kLast = 9;
  double sum = 0;
  for (double u = kStep / 2; u < kLast; u += kStep) {
    const double d = 0.5 * std::sinh(u);
    double density = 0;
    for (const NormalPart& part : normal_parts(increments, parts))
      density += part.weight * std::exp(-d * d / (2 * part.variance)) / std::sqrt(2 * std::numbers::pi * part.variance);
    sum += std::fabs(density - law.density(1, d)) * 0.5 * std::cosh(u) * kStep;
  }
  return sum;  // of one side, which is half of both
}

struct IncrementMixture {
  std::vector<double> weights;
  std::vector<std::vector<double>> variances;  // (parts^n, n), means 0
};

inline IncrementMixture increment_mixture(const SignalLaw& law, int parts, size_t n) {
  IncrementMixture mixture{{1}, {{}}};
  for (size_t i = 0; i < n; ++i) {
    IncrementMixture longer;
    for (size_t k = 0; k < mixture.weights.size(); ++k)
      for (const NormalPart& part : normal_parts(law.increments, parts)) {
        longer.weights.push_back(mixture.weights[k] * part.weight);
        longer.variances.push_back(mixture.variances[k]);
        longer.variances.back().push_back(part.variance * law.scale_of(i) * law.scale_of(i));
      }
    mixture = longer;
  }
  return mixture;
}

inline GaussianMixture as_gaussian_mixture(const IncrementMixture& mixture) {
  std::vector<double> variances;
  for (const std::vector<double>& of : mixture.variances) variances.insert(variances.end(), of.begin(), of.end());
  return GaussianMixture(mixture.weights, std::vector<double>(variances.size(), 0.0), variances);
}

// The model's configuration: images (1, 1, n) of increments.
inline Json as_json(const IncrementMixture& mixture) {
  const size_t n = mixture.variances[0].size();
  return {{"_class_name", "GaussianMixture"},
          {"shape", {1, 1, n}},
          {"weights", mixture.weights},
          {"means", std::vector<std::vector<double>>(mixture.weights.size(), std::vector<double>(n, 0.0))},
          {"variances", mixture.variances}};
}

}  // namespace ito::ref
