// SPDX-License-Identifier: Apache-2.0
// The Frechet distance of the Gaussians that have the two sets' means and covariances: with the features of an
// Inception network this is the FID (Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", equation 6).
#include "engine/evaluate/gaussian.h"
#include "engine/evaluate/metric.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr int64_t kUsualSweeps = 14;  // of the singular values; what is left of them is counted at the end

int64_t work_of_frechet(const FeatureSet& samples, const FeatureSet& reference, const MetricSettings&) {
  return samples.dim * ((samples.is_statistics() ? 0 : 1) + (reference.is_statistics() ? 0 : 1) + kUsualSweeps);
}

MetricResult measure_frechet(const FeatureSet& samples, const FeatureSet& reference, const MetricSettings& settings) {
  for (const FeatureSet* set : {&samples, &reference})
    ITO_USER_CHECK(set->is_statistics() || set->count > 1, "frechet: a covariance needs two points at least; there is ",
                   set->count);
  const Gaussian a = gaussian_of(samples, settings.threads, settings.progress),
                 b = gaussian_of(reference, settings.threads, settings.progress);
  std::atomic<int64_t> ignored{0};
  std::atomic<int64_t>& progress = settings.progress ? *settings.progress : ignored;
  int64_t left = kUsualSweeps;
  const double distance = frechet_distance(a, b, settings.threads, [&] {
    if (left == 0) return;
    progress += samples.dim;
    --left;
  });
  progress += left * samples.dim;
  return {{{"frechet_distance", distance}}, {{"covariance_denominator", "n - 1"}}};
}

}  // namespace

extern const Metric kFrechet;
const Metric kFrechet = {"frechet", "Frechet distance of means and covariances, as FID has it (Heusel et al. 2017)", 0,
                         work_of_frechet, measure_frechet};

}  // namespace ito
