// SPDX-License-Identifier: Apache-2.0
// Ways to model the reverse step p(x_{t-1} | x_t), one file each: what a network is trained for, and the mean and
// spread of a step of its chain. Sampler ddpm asks for the transition; every other sampler needs no more than what the
// network predicts. To add one: a file beside posterior.cpp that defines a ReverseOption, and its line in option.cpp.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/diffusion/level_statistics.h"
#include "engine/diffusion/reading.h"

namespace ito {

// A step of the chain from one level to a less noisy one.
struct TransitionProblem {
  const SchedulerConfig& config;
  const Reading& reading;
  const LevelStatistics* statistics;  // null: none were given
  Level from, to;
  bool least_squares_mix;  // of x0-mix
  const std::string& who;  // begins messages

  bool is_one_timestep() const { return to.time == from.time - 1; }
  const LevelStatistics& measured() const;  // UserError where there are none
};

// x' = x x + x0 D + pred (the network's answer) + std z, D its x0 estimate; with a learned variance std z is z times
// the root of one between these two (their logarithms).
struct Transition {
  double x = 0, x0 = 0, pred = 0, std = 0;
  bool learned = false;
  double log_variance_high = 0, log_variance_low = 0;
};

enum class StepVariance : uint8_t {
  Own,        // the option's: variance_type has no say
  Scheduler,  // as variance_type says
  Network,    // the same, and learned_range unless something else is asked for
};

struct ReverseOption {
  const char* name;
  const char* help;      // two lines, with the formula
  bool predicts_mean;    // the network's answer is the mean itself, and nothing else can be trained
  bool asks_statistics;  // it may need what was measured by timestep
  StepVariance variance;
  Transition (*transition)(const TransitionProblem&);
};

std::span<const ReverseOption* const> reverse_options();
// UserError, beginning with `where`, that lists the names for another.
const ReverseOption& reverse_option_named(std::string_view name, const std::string& where);
std::string reverse_option_names();               // "direct, x0-mix, ..."
std::vector<std::string> reverse_option_lines();  // for help

// The posterior's step: its mean, and the noise that follows.
Transition posterior_step(const TransitionProblem& p);
// The noise of a step whose mean is the posterior's, as variance_type says: the posterior's own variance, the forward
// step's, or one between them that the network chooses.
void set_posterior_variance(Transition& transition, const TransitionProblem& p);

}  // namespace ito
