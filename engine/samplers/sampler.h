// SPDX-License-Identifier: Apache-2.0
// A sampler is data: its name, its options, the diffusers classes it answers to, and a function that writes its table
// of rows (row_builder.h), one network call a row, all known before the first one, or a plan of what a solver that
// chooses its own steps does. To add a sampler: one file beside
// ddpm.cpp that defines a Sampler, and its line in sampler.cpp. Nothing here launches anything.
#pragma once
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/diffusion/options/option.h"
#include "engine/diffusion/probability_flow.h"
#include "engine/samplers/grids.h"
#include "engine/samplers/row_builder.h"
#include "engine/samplers/sampler_option.h"

namespace ito {

// Options that more than one sampler has: the grid and its end are made from them (see SamplingProblem).
inline constexpr const char* kFinalSigmas[] = {"zero", "sigma_min"};
inline constexpr SamplerOption kKarrasOption =
    flag_option("use_karras_sigmas", false, "levels spaced as Karras et al. 2022 do, rho 7");
inline constexpr SamplerOption kFinalSigmasOption =
    choice_option("final_sigmas_type", kFinalSigmas, "where the last step ends: clean data, or the first timestep");

// Of samplers that threshold; what they usually are, the scheduler's configuration says.
inline constexpr SamplerOption kThresholdingOptions[] = {
    flag_option("thresholding", false, "dynamic thresholding of x0 in place of the clip (Saharia et al. 2022)"),
    {"dynamic_thresholding_ratio", 0.995, 1e-6, 1, "its quantile of |x0|"},
    {"sample_max_value", 1, 1e-6, 1e6, "its largest threshold"},
};

inline constexpr int kShortRun = 15;  // steps below which lower_order_final acts, but in UniPC
inline constexpr SamplerOption kLowerOrderFinalOption =
    flag_option("lower_order_final", true, "last steps of lower order in runs of fewer than 15 steps");

// What samplers that draw scale their noise by (Karras et al. 2022, S_noise).
inline constexpr SamplerOption kNoiseScaleOption = {"s_noise", 1, 0, 2, "times the noise that the rule adds"};

// Ends of a grid in noise to signal. 0: the schedule's own.
inline constexpr SamplerOption kSigmaMinOption = {"sigma_min", 0, 0, 1e6, "least level of a call; 0: the schedule's"};
inline constexpr SamplerOption kSigmaMaxOption = {"sigma_max", 0, 0, 1e6, "level of the start; 0: the schedule's"};

// A step shorter than this in lambda is none: grids of many steps may hold a level twice, and Karras' end at the first
// timestep. Neighbouring timesteps are some 1e-3 apart.
inline constexpr double kNoStep = 1e-9;

// The defaults of diffusers' solver classes, where they differ from DDPMScheduler's.
inline void linspace_by_default(SchedulerConfig& config) {
  config.timestep_spacing = TimestepSpacing::Linspace;
}

// An argument of a sampler's diffusers classes that is implemented at one value alone: JSON text.
struct FixedArgument {
  const char *key, *value;
};

struct Sampler;

// A set of families.
using Families = uint32_t;
constexpr Families families_of(std::initializer_list<Family> list) {
  Families set = 0;
  for (const Family family : list) set |= 1u << static_cast<int>(family);
  return set;
}
inline constexpr Families kAllFamilies = ~Families{0};

// What a table is made from.
struct SamplingProblem {
  const Sampler& sampler;
  const SchedulerConfig& config;
  Levels levels;  // of the training schedule
  Reading reading;
  std::vector<Level> nodes;  // of the steps, from noise to data, and behind them the level where the run ends
  Clipping clip;             // of the x0 estimates
  TimestepSpacing spacing;
  std::vector<double> values;                   // of the sampler's options, in their order
  const ReverseOption* reverse = nullptr;       // of a sampler that walks the model's chain
  const LevelStatistics* statistics = nullptr;  // of the model; null: none

  int steps() const { return static_cast<int>(nodes.size()) - 1; }
  const Level& node(int i) const { return nodes.at(i); }
  double option(std::string_view key) const;  // Error for a key that the sampler does not have
  bool flag(std::string_view key) const { return option(key) != 0; }
  // What a run in y = x / alpha begins with times a standard normal, as diffusers has it: s_max, or sqrt(s_max^2 + 1)
  // where the spacing is leading, whose first level is below the schedule's last, and in its edm classes.
  double sigma_space_start() const;
};

// What a sampler that chooses its own steps runs: the flow from noise to data.
struct AdaptivePlan {
  ProbabilityFlow flow;
  double rtol, atol;
  bool ends_clean;  // with the estimate of x0 from one more call, or else where the flow ends
};

struct Sampler {
  const char* name;
  const char* summary;
  int usual_steps;  // 0: all timesteps of the schedule
  GridKind grid;
  Families families = kAllFamilies;  // of models that it can sample
  bool clips;                        // the x0 estimates, as the scheduler's clip_sample says
  bool thresholds = false;           // or thresholds them: kThresholdingOptions are options of its, too
  bool divides_alpha;            // at zero SNR the last timestep's abar is then 2^-24 in place of 0, as in diffusers
  bool truncates_times = false;  // of Karras' levels under squaredcos_cap_v2, in place of rounding them, as diffusers'
                                 // multistep DPM-Solver
  bool reverse_options = false;  // its steps are those of the model's reverse option
  std::span<const SamplerOption> options;
  std::span<const char* const> scheduler_classes;  // "_class_name"s; the first is written for it
  std::span<const FixedArgument> fixed;
  void (*class_defaults)(SchedulerConfig&);  // the classes' own, where they differ from DDPMScheduler's; may be null
  ReverseTable (*table)(const SamplingProblem&);               // null: the steps are not known beforehand, and
  AdaptivePlan (*adaptive)(const SamplingProblem&) = nullptr;  // this stands in its place
};

// What a user chooses for a run; what is left out comes from the model's scheduler configuration, then from the
// sampler.
struct SamplingSettings {
  int steps = 0;  // 0: the sampler's usual number
  std::optional<bool> clip_sample = std::nullopt;
  std::optional<TimestepSpacing> timestep_spacing = std::nullopt;
  std::vector<std::string> set = {};            // key=value, for the sampler's options
  std::string reverse = {};                     // a reverse option; "": the model's
  const LevelStatistics* statistics = nullptr;  // what was measured of the model; null: nothing
};

std::span<const Sampler* const> samplers();
// UserError with the names there are, and the nearest one, for another.
const Sampler& sampler_named(std::string_view name);
std::vector<std::string> sampler_names();
// The sampler that answers to a diffusers class; `where` begins the UserError for a class that none does.
const Sampler& sampler_of_class(std::string_view class_name, const std::string& where);

// UserError, naming the sampler, for what it, its options or the row kernel cannot do. A sampler has one of the two.
ReverseTable sampling_table(const Sampler& sampler, const NoiseSchedule& schedule, const SamplingSettings& settings);
AdaptivePlan adaptive_plan(const Sampler& sampler, const NoiseSchedule& schedule, const SamplingSettings& settings);

// scheduler_config.json's object with the defaults of its class. Keys that belong to the class's sampler stay in
// SchedulerConfig::sampler_keys; others are ignored with one line in `warnings`.
SchedulerConfig read_scheduler_config(const Json& json, const std::string& where, std::vector<std::string>& warnings);

}  // namespace ito
