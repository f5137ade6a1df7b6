// SPDX-License-Identifier: Apache-2.0
// Ancestral sampling (Ho et al. 2020, algorithm 2, in the form of eq. 7 so that x0 can be clipped). A step goes from t
// to the next timestep of the grid; the noise has the posterior's variance (fixed_small), the forward step's
// (fixed_large), or one between them on a log scale that the network chooses (learned_range; Nichol and Dhariwal 2021,
// eq. 15).
#include <algorithm>
#include <cmath>

#include "engine/samplers/sampler.h"

namespace ito {
namespace {

class DdpmSampler final : public Sampler {
 public:
  std::string_view name() const override { return "ddpm"; }

 private:
  void check(const SamplerSettings& settings) const override {
    ITO_USER_CHECK(settings.eta == 0, "sampler ddpm: eta ", settings.eta,
                   " has no meaning here; leave it out, or use ddim");
    ITO_USER_CHECK(!settings.use_clipped_model_output,
                   "sampler ddpm: use_clipped_model_output has no meaning here; leave it out, or use ddim");
  }

  void set_step(ReverseCoefficients& row, const NoiseSchedule& schedule, const SamplerSettings&,
                const std::vector<int>& timesteps, int i) const override {
    const Step from = Step::from_timestep(timesteps[i]);
    const bool last = i + 1 == static_cast<int>(timesteps.size());
    const Step to = last ? Step::clean() : Step::from_timestep(timesteps[i + 1]);
    const Posterior posterior = gaussian_posterior(schedule.abar(from), schedule.abar(to));
    row.mean_x = static_cast<float>(posterior.from_x);
    row.mean_x0 = static_cast<float>(posterior.from_x0);

    // The floor keeps the logarithm finite where the posterior is a point (a last step from a timestep above 0).
    const double small = std::max(posterior.variance, 1e-20);
    const bool noisy = timesteps[i] > 0;
    switch (schedule.config().variance_type) {
      case VarianceType::FixedSmall:
      case VarianceType::FixedSmallLog:
        row.noise_std = noisy ? static_cast<float>(std::sqrt(small)) : 0;
        break;
      case VarianceType::FixedLarge:
      case VarianceType::FixedLargeLog:
        row.noise_std = noisy ? static_cast<float>(std::sqrt(posterior.beta)) : 0;
        break;
      case VarianceType::LearnedRange:
        row.learned_variance = 1;
        row.log_beta = static_cast<float>(std::log(posterior.beta));
        row.log_beta_tilde = static_cast<float>(std::log(small));
        row.noise_std = noisy ? 1 : 0;  // only says whether there is noise
        break;
    }
  }
};

}  // namespace

std::unique_ptr<Sampler> make_ddpm_sampler() {
  return std::make_unique<DdpmSampler>();
}

}  // namespace ito
