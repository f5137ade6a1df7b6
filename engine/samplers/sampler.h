// SPDX-License-Identifier: Apache-2.0
// A sampler turns a noise schedule into the device table of a run: one row of coefficients a network call, all known
// before the first one. To add a sampler: one file beside ddpm.cpp that derives from Sampler, its make_ function here,
// and its line in sampler.cpp.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/diffusion/schedule.h"
#include "kernels/diffusion/reverse_step.h"

namespace ito {

// What a user chooses for a run; what is left out comes from the model's scheduler configuration.
struct SamplerSettings {
  int steps = 50;                                  // network calls
  double eta = 0;                                  // ddim: 0 deterministic .. 1 as noisy as ddpm
  bool use_clipped_model_output = false;           // ddim: eps follows from the clipped x0
  std::optional<bool> clip_sample = std::nullopt;  // clip the x0 estimate to +-clip_sample_range
  std::optional<TimestepSpacing> timestep_spacing = std::nullopt;
};

class Sampler {
 public:
  virtual ~Sampler() = default;
  virtual std::string_view name() const = 0;

  // The timesteps at which the network is called, descending.
  virtual std::vector<int> timesteps(const NoiseSchedule& schedule, const SamplerSettings& settings) const;
  // Row i takes x from timesteps()[i] to the next level. UserError for what this sampler or the table cannot do.
  std::vector<ReverseCoefficients> table(const NoiseSchedule& schedule, const SamplerSettings& settings) const;

 protected:
  // Refuses settings that have no meaning for this sampler.
  virtual void check(const SamplerSettings& settings) const = 0;
  // Adds to `row`, in which the estimates of x0 and eps, the clip and the timestep are set, the mean and the noise.
  virtual void set_step(ReverseCoefficients& row, const NoiseSchedule& schedule, const SamplerSettings& settings,
                        const std::vector<int>& timesteps, int i) const = 0;
};

// By name ("ddpm", "ddim"); UserError with the names there are, and the nearest one, for another.
std::unique_ptr<Sampler> make_sampler(std::string_view name);
std::vector<std::string> sampler_names();

std::unique_ptr<Sampler> make_ddpm_sampler();
std::unique_ptr<Sampler> make_ddim_sampler();

}  // namespace ito
