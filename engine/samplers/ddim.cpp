// SPDX-License-Identifier: Apache-2.0
// DDIM (Song, Meng and Ermon 2021, eq. 12 and 16):
//   x' = sqrt(abar_p) x0 + sqrt(1 - abar_p - sigma^2) eps + sigma z,
//   sigma = eta sqrt((1 - abar_p) / (1 - abar_t) (1 - abar_t / abar_p)).
// As in diffusers, p = t - floor(T / n), which is not the next timestep of the grid where T / n is not whole (linspace,
// trailing), and eps stays the network's own when x0 is clipped, unless use_clipped_model_output.
#include <algorithm>
#include <cmath>

#include "engine/samplers/sampler.h"

namespace ito {
namespace {

class DdimSampler final : public Sampler {
 public:
  std::string_view name() const override { return "ddim"; }

 private:
  void check(const SamplerSettings& settings) const override {
    // Above 1 the variance left for eps would be negative on the full grid.
    ITO_USER_CHECK(settings.eta >= 0 && settings.eta <= 1, "sampler ddim: eta is ", settings.eta, "; expected 0 to 1");
  }

  void set_step(ReverseCoefficients& row, const NoiseSchedule& schedule, const SamplerSettings& settings,
                const std::vector<int>& timesteps, int i) const override {
    const SchedulerConfig& config = schedule.config();
    const int previous = timesteps[i] - schedule.steps() / settings.steps;
    const Step final_step = config.set_alpha_to_one ? Step::clean() : Step::from_timestep(0);
    const double abar = schedule.abar(Step::from_timestep(timesteps[i]));
    const double abar_previous = schedule.abar(previous >= 0 ? Step::from_timestep(previous) : final_step);
    const double sigma = settings.eta * std::sqrt(gaussian_posterior(abar, abar_previous).variance);
    row.mean_x0 = static_cast<float>(std::sqrt(abar_previous));
    row.mean_eps = static_cast<float>(std::sqrt(std::max(1 - abar_previous - sigma * sigma, 0.0)));
    row.noise_std = static_cast<float>(sigma);
    row.eps_from_clipped = settings.use_clipped_model_output ? 1 : 0;
    if (config.variance_type == VarianceType::LearnedRange) {
      // The network's second half of channels is there and must be skipped, which learned_variance does; DDIM's own
      // sigma is kept by making both ends of the range its logarithm.
      row.learned_variance = 1;
      row.log_beta = row.log_beta_tilde = sigma > 0 ? static_cast<float>(2 * std::log(sigma)) : 0;
    }
  }
};

}  // namespace

std::unique_ptr<Sampler> make_ddim_sampler() {
  return std::make_unique<DdimSampler>();
}

}  // namespace ito
