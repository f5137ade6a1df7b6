// SPDX-License-Identifier: Apache-2.0
// See guidance_flags.h.
#include "tools/commands/guidance_flags.h"

#include <charconv>
#include <cmath>

#include "engine/diffusion/reading.h"
#include "engine/io/input_file.h"
#include "models/guided_model.h"

namespace ito {
namespace {

constexpr double kMostWeight = 1e4;

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

double weight_of(const std::string& text) {
  const std::optional<double> weight = number_of(text);
  ITO_USER_CHECK(weight && *weight >= 0 && *weight <= kMostWeight, "--guidance ", quote_name(text),
                 ": expected a number, 0 to ", kMostWeight, " (1: no guidance)");
  return *weight;
}

struct Interval {
  double from, to;
};
Interval interval_of(const std::string& text) {
  const size_t colon = text.find(':');
  const std::optional<double> from = number_of(text.substr(0, colon)),
                              to = colon == std::string::npos ? std::nullopt : number_of(text.substr(colon + 1));
  ITO_USER_CHECK(from && to && *from >= 0 && *from <= *to, "--guidance-interval ", quote_name(text),
                 ": expected A:B, two numbers of at least 0 in this order, as in 100:800");
  return {*from, *to};
}

// What the network is given at a sigma of ve and edm, or at a timestep as it was trained with.
float network_time(const SchedulerConfig& config, double at) {
  Level level{.time = at, .alpha = 1, .sigma = at, .abar = 1};
  if (config.family == Family::Flow) {
    level.sigma = at / config.num_train_timesteps;
    level.alpha = 1 - level.sigma;
  }
  return static_cast<float>(Reading::of(config).time(level));
}

}  // namespace

void add_guidance_flags(CLI::App& command, GuidanceFlags& flags) {
  command.add_option("--guidance", flags.weight,
                     "weight W of guidance: answers are without + W (with - without) the class, and the last class is "
                     "that of none, which is then no class to ask for; empty: no guidance");
  command.add_option("--guidance-interval", flags.interval,
                     "A:B, where guidance holds, elsewhere W is 1: in timesteps, or in sigmas for a model of the "
                     "family ve or edm, which is given sigmas; empty: everywhere");
  command.add_option("--guide", flags.guide,
                     "a worse model to be led away from, in place of the model without its class: answers are guide + "
                     "W (model - guide); empty: none");
}

void check_guidance(const GuidanceFlags& flags) {
  ITO_USER_CHECK(!flags.weight.empty() || flags.interval.empty(), "--guidance-interval ", flags.interval,
                 ": says where guidance holds, and there is none; add --guidance, or leave it out");
  ITO_USER_CHECK(!flags.weight.empty() || flags.guide.empty(), "--guide ", flags.guide,
                 ": guides by a weight; add --guidance, or leave it out");
  if (!flags.weight.empty()) weight_of(flags.weight);
  if (!flags.interval.empty()) interval_of(flags.interval);
}

ModelOnDevice with_guidance(ModelOnDevice model, const GuidanceFlags& flags) {
  check_guidance(flags);
  if (flags.weight.empty()) return model;
  GuidanceWeight weight = always(static_cast<float>(weight_of(flags.weight)));
  if (!flags.interval.empty()) {
    const Interval interval = interval_of(flags.interval);
    weight.from = network_time(model.scheduler, interval.from);
    weight.to = network_time(model.scheduler, interval.to);
  }
  return guided_model(std::move(model), weight, flags.guide);
}

Json guidance_json(const GuidanceFlags& flags) {
  Json json = Json::object();
  if (!flags.weight.empty()) json["--guidance"] = weight_of(flags.weight);
  if (!flags.interval.empty()) json["--guidance-interval"] = flags.interval;
  if (!flags.guide.empty()) json["--guide"] = flags.guide;
  return json;
}

}  // namespace ito
