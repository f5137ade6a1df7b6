// SPDX-License-Identifier: Apache-2.0
// The levels at which a sampler calls the network, by the names diffusers gives the ways to space them. Every rounding
// is half to even.
#pragma once
#include <vector>

#include "engine/diffusion/levels.h"
#include "engine/diffusion/scheduler_config.h"

namespace ito {

// `count` of the timesteps 0..steps-1, descending:
//   leading   i * floor(steps / count) + offset,          i = count-1 .. 0
//   linspace  round(i * (steps - 1) / (count - 1)),       i = count-1 .. 0
//   trailing  round(steps - i * steps / count) - 1,       i = 0 .. count-1
// The offset belongs to leading only. UserError if count is not in 1..steps or the offset leads past the last timestep.
std::vector<int> spaced_timesteps(TimestepSpacing spacing, int steps, int count, int offset);

// The same of count + 1 timesteps without the smallest (DPM-Solver, UniPC, DEIS):
//   leading   i * floor(steps / (count + 1)) + offset,    i = count .. 1
//   linspace  round(i * (steps - 1) / count),             i = count .. 1
//   trailing  as above, of count
std::vector<int> timesteps_above_smallest(TimestepSpacing spacing, int steps, int count, int offset);

// As spaced_timesteps, but linspace is not rounded (Euler, Heun, LMS).
std::vector<double> real_timesteps(TimestepSpacing spacing, int steps, int count, int offset);

// `count` noise-to-signal ratios from high down to low (Karras et al. 2022, eq. 5).
std::vector<double> karras_sigmas(double high, double low, int count, double rho = 7);

// Which one a sampler walks: one of the three above, or
//   Continuous  times t of 0..1 on a line from 1 to end_time, over the timesteps 0..T-1
//   Geometric   s from the last timestep's to the first's
//   Flow        u = s / (1 + s): w(line from w(last) to w(first)), w(u) = shift u / (1 + (shift - 1) u), last and first
//               the timesteps' u. The shift acts twice at the low end, as in diffusers.
//   Karras      Karras' ratios, at real times
//   SineSquared sigma = sin^2(pi u / 2), u = 1, 1 - 1/count, .., 1/count (iPNDM), at real times; the last timestep's
//               level in place of noisier ones
enum class GridKind : uint8_t { Whole, AboveSmallest, Real, Continuous, Geometric, Flow, Karras, SineSquared };

struct GridSettings {
  GridKind kind = GridKind::Whole;
  TimestepSpacing spacing = TimestepSpacing::Leading;
  int count = 50;
  int offset = 0;
  // Karras' ratios in place of the timesteps': from the schedule's last to its first (AboveSmallest, whose times are
  // then rounded, or cut off with truncated) or between the ends of the spaced grid (Real).
  bool karras = false, truncated = false;
  bool whole_range = false;  // Karras' ratios always run between the schedule's ends, and are not rounded
  double rho = 7;            // of Karras' ratios
  double end_time = 1e-3;    // Continuous
  double shift = 1;          // Flow
  // Karras: the ends of the grid, as ratios within the schedule's; 0: the schedule's last and first.
  double high = 0, low = 0;
};

// The levels of the calls, from noise to data.
std::vector<Level> grid_levels(const Levels& levels, const GridSettings& settings);

}  // namespace ito
