// SPDX-License-Identifier: Apache-2.0
// Grids of timesteps and levels. trailing is written by index: the published half-open range of floats gives count + 1
// entries, the last of them -1, for some counts (61, 103, 121, ...).
#include "engine/samplers/grids.h"

#include <cmath>
#include <numbers>

#include "kernels/error.h"

namespace ito {
namespace {

void check_count(int steps, int count) {
  ITO_USER_CHECK(count >= 1 && count <= steps, "sampling steps: ", count, "; expected 1 to ", steps,
                 ", the timesteps the model was trained on");
}

void check_first(double first, int steps, int count, int offset) {
  ITO_USER_CHECK(first < steps, "sampling steps: ", count, " with timestep_spacing leading and steps_offset ", offset,
                 " begin at timestep ", first, ", past the last, ", steps - 1, "; use fewer steps or another spacing");
}

// Point i of `points` on the line from 0 to steps - 1; a line of one point is at 0.
double on_line(int i, int steps, int points) {
  if (points > 1 && i == points - 1) return steps - 1;  // the product may round past it
  const double stride = points > 1 ? (steps - 1.0) / (points - 1.0) : 0;
  return i * stride;
}

int trailing(int i, int steps, int count) {
  // The whole-number product keeps a tie (x.5) exact.
  const double down = static_cast<double>(static_cast<int64_t>(i) * steps) / count;
  return static_cast<int>(std::nearbyint(steps - down)) - 1;
}

std::vector<int> whole(const std::vector<double>& times) {
  std::vector<int> timesteps;
  for (const double time : times) timesteps.push_back(static_cast<int>(std::nearbyint(time)));
  return timesteps;
}

// The ratio asked for, or the schedule's own.
double end_of(const char* name, double asked, const Levels& levels, int timestep) {
  const double first = levels.at(0).s(), last = levels.at(levels.steps() - 1).s();
  if (asked == 0) return levels.at(timestep).s();
  // Someone who types the numbers of a message has them to six digits.
  ITO_USER_CHECK(asked >= first * (1 - 1e-5) && asked <= last * (1 + 1e-5), "sampling levels: ", name, " ", asked,
                 "; expected ", first, " to ", last, ", the levels the model was trained on");
  return asked;
}

std::vector<Level> karras_levels(const Levels& levels, const GridSettings& s) {
  const double high = end_of("sigma_max", s.high, levels, levels.steps() - 1);
  const double low = end_of("sigma_min", s.low, levels, 0);
  ITO_USER_CHECK(low <= high, "sampling levels: sigma_min ", low, " is above sigma_max ", high);
  std::vector<Level> nodes;
  for (const double ratio : karras_sigmas(high, low, s.count, s.rho)) nodes.push_back(levels.of_s(ratio));
  return nodes;
}

std::vector<Level> sine_squared_levels(const Levels& levels, int count) {
  const Level last = levels.at(levels.steps() - 1);
  std::vector<Level> nodes;
  for (int i = 0; i < count; ++i) {
    const double angle = std::numbers::pi / 2 * (count - i) / count;
    const double sigma = std::pow(std::sin(angle), 2), alpha = std::cos(angle) * std::sqrt(1 + sigma);
    nodes.push_back(sigma < last.s() * alpha ? levels.of_s(sigma / alpha) : last);
  }
  return nodes;
}

}  // namespace

std::vector<double> real_timesteps(TimestepSpacing spacing, int steps, int count, int offset) {
  check_count(steps, count);
  std::vector<double> times(count);
  for (int i = 0; i < count; ++i) {
    const int ascending = count - 1 - i;
    switch (spacing) {
      case TimestepSpacing::Leading:
        times[i] = ascending * (steps / count) + offset;
        break;
      case TimestepSpacing::Linspace:
        times[i] = on_line(ascending, steps, count);
        break;
      case TimestepSpacing::Trailing:
        times[i] = trailing(i, steps, count);
        break;
    }
  }
  check_first(times.front(), steps, count, offset);
  return times;
}

std::vector<int> spaced_timesteps(TimestepSpacing spacing, int steps, int count, int offset) {
  return whole(real_timesteps(spacing, steps, count, offset));
}

std::vector<int> timesteps_above_smallest(TimestepSpacing spacing, int steps, int count, int offset) {
  if (spacing == TimestepSpacing::Trailing) return spaced_timesteps(spacing, steps, count, offset);
  check_count(steps, count);
  std::vector<double> times(count);
  for (int i = 0; i < count; ++i) {
    const int ascending = count - i;
    times[i] = spacing == TimestepSpacing::Leading ? ascending * (steps / (count + 1)) + offset
                                                   : on_line(ascending, steps, count + 1);
  }
  check_first(times.front(), steps, count, offset);
  return whole(times);
}

std::vector<double> karras_sigmas(double high, double low, int count, double rho) {
  std::vector<double> sigmas(count);
  const double top = std::pow(high, 1 / rho), bottom = std::pow(low, 1 / rho);
  for (int i = 0; i < count; ++i) sigmas[i] = count == 1 ? high : std::pow(top + i * (bottom - top) / (count - 1), rho);
  return sigmas;
}

namespace {

void check_steps(int count) {
  ITO_USER_CHECK(count >= 1, "sampling steps: ", count, "; expected at least 1");
}

// Point i of `points` on the line from a to b, both included exactly.
double between(double a, double b, int i, int points) {
  if (points == 1) return a;
  return i == points - 1 ? b : a + i * (b - a) / (points - 1);
}

std::vector<Level> flow_levels(const Levels& levels, const GridSettings& s) {
  const auto time_of = [&](int timestep) {
    const Level level = levels.at(timestep);
    return level.sigma / (level.alpha + level.sigma);
  };
  const auto shifted = [&](double u) { return s.shift * u / (1 + (s.shift - 1) * u); };
  const double high = shifted(time_of(levels.steps() - 1)), low = shifted(time_of(0));
  std::vector<Level> nodes;
  for (int i = 0; i < s.count; ++i) {
    const double u = shifted(between(high, low, i, s.count));
    nodes.push_back(u < 1 ? levels.of_s(u / (1 - u)) : levels.at(levels.steps() - 1));
  }
  return nodes;
}

}  // namespace

std::vector<Level> grid_levels(const Levels& levels, const GridSettings& s) {
  std::vector<Level> nodes;
  const int steps = levels.steps();
  switch (s.kind) {
    case GridKind::Whole:
      for (const int t : spaced_timesteps(s.spacing, steps, s.count, s.offset)) nodes.push_back(levels.at(t));
      break;
    case GridKind::AboveSmallest:
      for (const int t : timesteps_above_smallest(s.spacing, steps, s.count, s.offset)) nodes.push_back(levels.at(t));
      break;
    case GridKind::Real:
      for (const double t : real_timesteps(s.spacing, steps, s.count, s.offset)) nodes.push_back(levels.at(t));
      break;
    case GridKind::Karras:
      check_steps(s.count);
      return karras_levels(levels, s);
    case GridKind::SineSquared:
      check_steps(s.count);
      return sine_squared_levels(levels, s.count);
    case GridKind::Continuous:
      check_steps(s.count);
      for (int i = 0; i < s.count; ++i) nodes.push_back(levels.at((steps - 1) * between(1, s.end_time, i, s.count)));
      break;
    case GridKind::Geometric: {
      check_steps(s.count);
      const double high = std::log(levels.at(steps - 1).s()), low = std::log(levels.at(0).s());
      for (int i = 0; i < s.count; ++i) nodes.push_back(levels.of_s(std::exp(between(high, low, i, s.count))));
      break;
    }
    case GridKind::Flow:
      check_steps(s.count);
      return flow_levels(levels, s);
  }
  const bool karras = s.kind == GridKind::AboveSmallest || s.kind == GridKind::Real;
  if (!s.karras || !karras) return nodes;
  const bool real = s.kind == GridKind::Real && !s.whole_range;
  const double high = real ? nodes.front().s() : levels.at(steps - 1).s();
  const double low = real ? nodes.back().s() : levels.at(0).s();
  nodes.clear();
  for (const double sigma : karras_sigmas(high, low, s.count, s.rho)) {
    Level& node = nodes.emplace_back(levels.of_s(sigma));
    if (!real && !s.whole_range) node.time = s.truncated ? std::floor(node.time) : std::nearbyint(node.time);
  }
  return nodes;
}

}  // namespace ito
