// SPDX-License-Identifier: Apache-2.0
// The noise schedule: beta, abar and the Gaussian posterior of one reverse step, in double on the host.
//   q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I),  abar_t = prod_{s <= t} (1 - beta_s)   (Ho et al. 2020, eq. 4)
// A family in closed form (family.h) has the abar of its s at T points of its time instead: 0..1 in T-1 steps, or of a
// flow 1/T..1.
#pragma once
#include <optional>
#include <vector>

#include "engine/diffusion/scheduler_config.h"
#include "engine/diffusion/step.h"

namespace ito {

// q(x_s | x_t, x_0) for any s < t, from the two values of abar (Ho et al. 2020, eq. 7, with alpha_t / alpha_s in
// place of one step's alpha): mean = from_x0 x_0 + from_x x_t.
struct Posterior {
  double from_x0, from_x;
  double beta;      // 1 - abar_t / abar_s: the variance of the forward step from s to t
  double variance;  // (1 - abar_s) / (1 - abar_t) beta
};
Posterior gaussian_posterior(double abar, double abar_previous);

class NoiseSchedule {
 public:
  explicit NoiseSchedule(const SchedulerConfig& config);

  const SchedulerConfig& config() const { return config_; }
  std::optional<Process> process() const;                        // none: the betas are a table
  int steps() const { return static_cast<int>(betas_.size()); }  // T

  double beta(Step step) const;  // t = 1..T
  double abar(Step step) const;  // t = 0..T; 1 at t = 0, and exactly 0 at T with rescale_betas_zero_snr
  // beta tilde_t: the posterior's variance for one step of the full grid; 0 at t = 1.
  double posterior_variance(Step step) const;

 private:
  SchedulerConfig config_;
  std::vector<double> betas_, abars_;  // index = timestep
};

}  // namespace ito
