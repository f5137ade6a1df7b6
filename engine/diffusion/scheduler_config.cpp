// SPDX-License-Identifier: Apache-2.0
// Reading, checking and writing scheduler_config.json.
#include "engine/diffusion/scheduler_config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/diffusion/options/option.h"
#include "engine/io/input_file.h"
#include "engine/io/json_reader.h"
#include "kernels/error.h"

namespace ito {
namespace {

// Names in the order of the enumerators.
constexpr std::array<std::string_view, 4> kBetaSchedules = {"linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"};
constexpr std::array<std::string_view, 5> kVarianceTypes = {"fixed_small", "fixed_small_log", "fixed_large",
                                                            "fixed_large_log", "learned_range"};
constexpr std::array<std::string_view, 3> kTimestepSpacings = {"leading", "linspace", "trailing"};

template <class E, size_t N>
std::string_view name_in(const std::array<std::string_view, N>& names, E value) {
  return names.at(static_cast<size_t>(value));
}

template <class E, size_t N>
E value_of(const std::array<std::string_view, N>& names, std::string_view name, const std::string& where,
           const char* key) {
  std::string allowed;
  std::vector<std::string> known;
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == name) return static_cast<E>(i);
    allowed += (i ? ", " : "") + std::string(names[i]);
    known.emplace_back(names[i]);
  }
  fail<UserError>(where, ": ", key, " ", quote_name(name), " is not implemented; use one of ", allowed,
                  did_you_mean(name, known));
}

// visitor(key, number) for what the configuration's family has of its own.
template <class Config, class Visitor>
void visit_family_keys(Config& config, Visitor&& visitor) {
  const Family family = config.family;
  if (family == Family::VpSde || family == Family::SubVp) {
    visitor("beta_min", config.beta_min);
    visitor("beta_max", config.beta_max);
  }
  if (family == Family::Ve || family == Family::Edm) {
    visitor("sigma_min", config.sigma_min);
    visitor("sigma_max", config.sigma_max);
  }
  if (family == Family::Edm) {
    visitor("sigma_data", config.sigma_data);
    visitor("rho", config.rho);
  }
}

}  // namespace

std::string_view name_of(BetaSchedule value) {
  return name_in(kBetaSchedules, value);
}
std::string_view name_of(VarianceType value) {
  return name_in(kVarianceTypes, value);
}
std::string_view name_of(TimestepSpacing value) {
  return name_in(kTimestepSpacings, value);
}

BetaSchedule beta_schedule_of(std::string_view name, const std::string& where) {
  return value_of<BetaSchedule>(kBetaSchedules, name, where, "beta_schedule");
}
VarianceType variance_type_of(std::string_view name, const std::string& where) {
  return value_of<VarianceType>(kVarianceTypes, name, where, "variance_type");
}
TimestepSpacing timestep_spacing_of(std::string_view name, const std::string& where) {
  return value_of<TimestepSpacing>(kTimestepSpacings, name, where, "timestep_spacing");
}

SchedulerConfig parse_scheduler_config(const Json& json, const std::string& where, const SchedulerConfig& defaults) {
  SchedulerConfig config = defaults;
  JsonReader reader(json, where);
  // What a word of the file means; `of` throws for one that is not known.
  const auto read_name = [&]<class E>(const char* key, E& value, E (*of)(std::string_view, const std::string&)) {
    reader.read_name(key, value, [&](std::string_view name) { return of(name, where); });
  };
  reader.read_name("_class_name", config.class_name, [](std::string_view name) { return std::string(name); });
  reader.read("num_train_timesteps", config.num_train_timesteps);
  reader.read("beta_start", config.beta_start);
  reader.read("beta_end", config.beta_end);
  read_name("beta_schedule", config.beta_schedule, beta_schedule_of);
  reader.read("trained_betas", config.trained_betas);
  // null is the solvers' word for a variance that the network does not choose.
  if (!reader.is_null("variance_type")) read_name("variance_type", config.variance_type, variance_type_of);
  reader.read("clip_sample", config.clip_sample);
  read_name("prediction_type", config.prediction_type, quantity_of);
  reader.read("thresholding", config.thresholding);
  reader.read("dynamic_thresholding_ratio", config.dynamic_thresholding_ratio);
  reader.read("clip_sample_range", config.clip_sample_range);
  reader.read("sample_max_value", config.sample_max_value);
  read_name("timestep_spacing", config.timestep_spacing, timestep_spacing_of);
  reader.read("steps_offset", config.steps_offset);
  reader.read("rescale_betas_zero_snr", config.rescale_betas_zero_snr);
  reader.read("set_alpha_to_one", config.set_alpha_to_one);
  config.family = family_of_class(config.class_name);
  read_name("family", config.family, family_of);
  reader.read_name("reverse", config.reverse,
                   [&](std::string_view name) { return std::string(reverse_option_named(name, where).name); });
  visit_family_keys(config, [&](const char* key, double& value) { reader.read(key, value); });
  config.sampler_keys = reader.unread();
  check_scheduler_config(config, where);
  return config;
}

Json scheduler_config_json(const SchedulerConfig& config) {
  Json json = config.sampler_keys;
  json["_class_name"] = config.class_name;
  json["_diffusers_version"] = kDiffusersVersion;
  json["num_train_timesteps"] = config.num_train_timesteps;
  if (config.family == Family::Vp) {
    json["beta_start"] = config.beta_start;
    json["beta_end"] = config.beta_end;
    json["beta_schedule"] = name_of(config.beta_schedule);
    json["trained_betas"] = config.trained_betas ? Json(*config.trained_betas) : Json(nullptr);
    json["rescale_betas_zero_snr"] = config.rescale_betas_zero_snr;
  }
  json["clip_sample"] = config.clip_sample;
  json["prediction_type"] = name_of(config.prediction_type);
  json["thresholding"] = config.thresholding;
  json["dynamic_thresholding_ratio"] = config.dynamic_thresholding_ratio;
  json["clip_sample_range"] = config.clip_sample_range;
  json["sample_max_value"] = config.sample_max_value;
  json["timestep_spacing"] = name_of(config.timestep_spacing);
  json["steps_offset"] = config.steps_offset;
  if (config.family != family_of_class(config.class_name)) json["family"] = name_of(config.family);
  if (config.reverse != SchedulerConfig{}.reverse) json["reverse"] = config.reverse;
  visit_family_keys(config, [&](const char* key, const double& value) { json[key] = value; });
  constexpr std::string_view kOfAlphaToOne[] = {"DDIMScheduler", "DDIMInverseScheduler", "PNDMScheduler"};
  const bool of_alpha_to_one =
      std::find(std::begin(kOfAlphaToOne), std::end(kOfAlphaToOne), config.class_name) != std::end(kOfAlphaToOne);
  if (of_alpha_to_one) json["set_alpha_to_one"] = config.set_alpha_to_one;
  // The reverse chain has a variance whatever class a model is usually sampled with.
  if (!of_alpha_to_one || config.variance_type != SchedulerConfig{}.variance_type)
    json["variance_type"] = name_of(config.variance_type);
  return json;
}

void check_scheduler_config(const SchedulerConfig& config, const std::string& where) {
  constexpr int kMaxSteps = 1 << 20;  // a table of this many steps is a slip of the keyboard, not a schedule
  const int steps = config.num_train_timesteps;
  ITO_USER_CHECK(steps >= 1 && steps <= kMaxSteps, where, ": num_train_timesteps is ", steps, "; expected 1 to ",
                 kMaxSteps);
  if (config.trained_betas) {
    const std::vector<double>& betas = *config.trained_betas;
    ITO_USER_CHECK(betas.size() == static_cast<size_t>(steps), where, ": trained_betas holds ", betas.size(),
                   " numbers; expected num_train_timesteps, ", steps);
    for (size_t i = 0; i < betas.size(); ++i)
      ITO_USER_CHECK(betas[i] > 0 && betas[i] < 1, where, ": trained_betas[", i, "] is ", betas[i],
                     "; expected a number between 0 and 1");
  } else {
    ITO_USER_CHECK(config.beta_start > 0 && config.beta_start < 1, where, ": beta_start is ", config.beta_start,
                   "; expected a number between 0 and 1");
    ITO_USER_CHECK(config.beta_end > 0 && config.beta_end < 1, where, ": beta_end is ", config.beta_end,
                   "; expected a number between 0 and 1");
  }
  visit_family_keys(config, [&](const char* key, double value) {
    ITO_USER_CHECK(value > 0 && std::isfinite(value), where, ": ", key, " is ", value, "; expected a number above 0");
  });
  ITO_USER_CHECK(config.sigma_max > config.sigma_min, where, ": sigma_max is ", config.sigma_max,
                 "; expected more than sigma_min, ", config.sigma_min);
  ITO_USER_CHECK(config.beta_max >= config.beta_min, where, ": beta_max is ", config.beta_max,
                 "; expected beta_min or more, ", config.beta_min);
  ITO_USER_CHECK(config.family != Family::Edm || config.prediction_type == Quantity::epsilon() ||
                     config.prediction_type == Quantity::v(),
                 where, ": prediction_type ", name_of(config.prediction_type),
                 " is not one of a preconditioned network; use ", name_of(Quantity::epsilon()), ", or ",
                 name_of(Quantity::v()), " for the other sign");
  ITO_USER_CHECK(
      !reverse_option_named(config.reverse, where).predicts_mean || config.prediction_type == Quantity::mean(), where,
      ": reverse ", config.reverse, " needs prediction_type ", name_of(Quantity::mean()), ", and it is ",
      name_of(config.prediction_type));
  ITO_USER_CHECK(config.prediction_type != Quantity::mean() || config.family == Family::Vp, where, ": prediction_type ",
                 name_of(Quantity::mean()), " is of a chain of timesteps, which family ", name_of(config.family),
                 " is not; use another");
  ITO_USER_CHECK(!config.rescale_betas_zero_snr || config.family == Family::Vp, where,
                 ": rescale_betas_zero_snr changes a table of betas, which family ", name_of(config.family),
                 " does not have; set it to false");
  ITO_USER_CHECK(!config.rescale_betas_zero_snr || steps > 1, where,
                 ": rescale_betas_zero_snr needs at least 2 timesteps; num_train_timesteps is ", steps);
  ITO_USER_CHECK(config.clip_sample_range > 0 && std::isfinite(config.clip_sample_range), where,
                 ": clip_sample_range is ", config.clip_sample_range, "; expected a number above 0");
  ITO_USER_CHECK(config.dynamic_thresholding_ratio > 0 && config.dynamic_thresholding_ratio <= 1, where,
                 ": dynamic_thresholding_ratio is ", config.dynamic_thresholding_ratio,
                 "; expected a number above 0, at most 1");
  ITO_USER_CHECK(config.sample_max_value > 0, where, ": sample_max_value is ", config.sample_max_value,
                 "; expected a number above 0");
  ITO_USER_CHECK(config.steps_offset >= 0 && config.steps_offset < steps, where, ": steps_offset is ",
                 config.steps_offset, "; expected 0 to num_train_timesteps - 1, ", steps - 1);
}

}  // namespace ito
