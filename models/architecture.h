// SPDX-License-Identifier: Apache-2.0
// What an architecture gives to be read, trained and written: the one thing that everything above a network's ops asks
// it. An architecture is a folder of models/ and its line in architectures.cpp; nothing in engine/ or tools/ names one.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/diffusion/scheduler_config.h"
#include "engine/io/json_file.h"
#include "engine/program/network.h"

namespace ito {

// How a network is published to be trained on the schedule that it is sampled with, where nothing else is asked for.
struct UsualTraining {
  std::string loss_weighting, timestep_sampling;  // as options have them; "": what is usual for all
  double class_dropout = 0;
};

// What a config.json comes to.
struct Configured {
  Json config;            // every key spelled out, as it is written again
  ImageShape image;       // of the samples; height or width 0: whatever is fed
  int side_multiple = 1;  // heights and widths are multiples of it
  std::function<Network(int height, int width)> network;
  // ln p of x (H, W, C) = alpha x0 + sigma eps, where the model is a density that is known in closed form; else empty.
  std::function<double(const float* x, double alpha, double sigma)> log_density;
  std::function<Json(int height, int width)> config_for;  // `config`, stated to be for images of this size
  // What it is trained and sampled with where no file says; none: nothing is to be said beforehand.
  std::optional<SchedulerConfig> scheduler;
  UsualTraining training = {};
};

// DDPMScheduler's usual configuration without clipping, for answers in closed form, whose data have no range.
inline SchedulerConfig unclipped_scheduler() {
  SchedulerConfig config;
  config.clip_sample = false;
  return config;
}

struct NamedConfig {
  const char* name;
  Json (*config)();  // as config.json has it
};

struct Architecture {
  const char* class_name;  // "_class_name" of config.json, and in model_index.json
  const char* folder;      // of a diffusers directory
  // where: the file's name for messages. Unknown keys are one warning; what is not implemented or contradicts itself is
  // a UserError.
  Configured (*configure)(const Json& config, const std::string& where, std::vector<std::string>* warnings);
  std::span<const NamedConfig> named;
  const char* telling_key = nullptr;  // that config.json has in any case: what one without "_class_name" is told by
  Json (*with_variance)(Json config) = nullptr;  // the same with outputs for a learned variance; null: has none
  Json (*with_classes)(Json config, int classes) = nullptr;  // the same with so many classes; null: has none
  const char* library = "diffusers";                         // that has a class of this name, for model_index.json
};

using Architectures = std::span<const Architecture* const>;

// All there are.
Architectures architectures();

}  // namespace ito
