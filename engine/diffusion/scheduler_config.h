// SPDX-License-Identifier: Apache-2.0
// scheduler_config.json of a diffusers directory: the noise schedule and how a network was trained on it, which every
// diffusers scheduler has, and DDPMScheduler's and DDIMScheduler's own arguments. What other samplers' classes have
// besides is kept for them as it was read.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/diffusion/family.h"
#include "engine/diffusion/quantity.h"
#include "engine/io/json_file.h"

namespace ito {

enum class BetaSchedule : uint8_t { Linear, ScaledLinear, SquaredCosCapV2, Sigmoid };
// FixedSmallLog is another spelling of FixedSmall. FixedLargeLog is meant as one of FixedLarge: the published code
// takes the root of a log-variance there, which is NaN, so we draw with the variance its name says. The published
// "learned" (the network's output is the variance itself) is not in the device table and is refused.
enum class VarianceType : uint8_t { FixedSmall, FixedSmallLog, FixedLarge, FixedLargeLog, LearnedRange };
enum class TimestepSpacing : uint8_t { Leading, Linspace, Trailing };

// The words of the file for each value. name_of the value and the value of a name are exact inverses.
std::string_view name_of(BetaSchedule value);
std::string_view name_of(VarianceType value);
std::string_view name_of(TimestepSpacing value);
// `where` (a file or a flag) begins the UserError for a word that is not one of the names; it lists those that are.
BetaSchedule beta_schedule_of(std::string_view name, const std::string& where);
VarianceType variance_type_of(std::string_view name, const std::string& where);
TimestepSpacing timestep_spacing_of(std::string_view name, const std::string& where);

// The defaults are those of DDPMScheduler and DDIMScheduler.
struct SchedulerConfig {
  std::string class_name = "DDPMScheduler";  // of diffusers: which sampler the model is usually sampled with
  int num_train_timesteps = 1000;            // T
  double beta_start = 1e-4;
  double beta_end = 0.02;
  BetaSchedule beta_schedule = BetaSchedule::Linear;
  std::optional<std::vector<double>> trained_betas;       // T numbers; replaces the schedule
  VarianceType variance_type = VarianceType::FixedSmall;  // DDPMScheduler only
  bool clip_sample = true;
  Quantity prediction_type = Quantity::epsilon();
  bool thresholding = false;  // dynamic thresholding; takes the place of clipping
  double dynamic_thresholding_ratio = 0.995;
  double clip_sample_range = 1.0;
  double sample_max_value = 1.0;
  TimestepSpacing timestep_spacing = TimestepSpacing::Leading;
  int steps_offset = 0;
  bool rescale_betas_zero_snr = false;
  bool set_alpha_to_one = true;              // of DDIM, its inverse and PNDM
  Family family = Family::Vp;                // what follows from the class, unless the file says another ("family")
  double beta_min = 0.1, beta_max = 20;      // vp-sde, sub-vp only
  double sigma_min = 0.002, sigma_max = 80;  // ve, edm only
  double sigma_data = 0.5, rho = 7;          // edm only
  std::string reverse = "posterior";         // the reverse option (options/option.h) that the model was trained with
  Json sampler_keys = Json::object();        // all other keys of the file that say something

  bool operator==(const SchedulerConfig&) const = default;
};

// Reads the file's object; `where` names the file. Missing keys take the default; the keys of every class are read, as
// when diffusers makes one scheduler from another's configuration. A known key with a value of the wrong type, out of
// range or not implemented is a UserError.
SchedulerConfig parse_scheduler_config(const Json& json, const std::string& where,
                                       const SchedulerConfig& defaults = {});

// Every argument, with "_class_name" and "_diffusers_version". set_alpha_to_one is an argument of DDIMScheduler,
// DDIMInverseScheduler and PNDMScheduler, and variance_type of all others, and of these where it is not the usual.
Json scheduler_config_json(const SchedulerConfig& config);

// Refuses (UserError, beginning with `where`) numbers that make no schedule.
void check_scheduler_config(const SchedulerConfig& config, const std::string& where);

}  // namespace ito
