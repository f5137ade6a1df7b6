// SPDX-License-Identifier: Apache-2.0
// A solver draws images that could have been measured: x ~ p(x0 | y), y = H(x0) + s z. It is data, like a sampler: a
// table of rows for the one reverse loop, and what is done around them because of y (measurement_hooks.h); most are
// edits of the state in the operator's coordinates, which are tables too (state_edit.h).
// To add a solver: one file in solvers/ that defines a Solver, and its name in the list of solver.cpp.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/inverse/measurement_hooks.h"
#include "engine/samplers/row_builder.h"
#include "engine/samplers/sampler_option.h"

namespace ito {

// What a solver needs of an operator.
enum class Needs : uint8_t {
  Spectrum,         // singular values and their coordinates
  Projection,       // a linear one with a pseudo-inverse
  LinearOrInverse,  // a linear one, or else something like an inverse
  Linear,
  Derivative,  // an adjoint that says something
  Mask,        // kept and missing numbers of the image
  Identity,    // the image itself
  Noise,       // noise: it can do nothing without
};

struct Solver;

// What a solver plans for. Levels are those of the variance-preserving state, whatever the model's family.
struct RestoreProblem {
  const Solver& solver;
  MeasurementOperator& op;
  double noise;  // s: of a measurement, in the units of x0
  const SchedulerConfig& config;
  Levels levels;
  Reading reading;
  int steps;
  Clipping clip;               // of the x0 estimates
  std::vector<double> values;  // of the solver's options, in their order

  double option(std::string_view key) const;
  bool flag(std::string_view key) const { return option(key) != 0; }
  RowBuilder rows() const { return RowBuilder(reading, Space::Vp, clip); }
  EditPlan edits() const { return EditPlan(coordinates_of(op, noise)); }
  // The levels of the steps from noise to data, with clean data behind them. Whole timesteps, evenly spaced from the
  // first one on.
  std::vector<Level> nodes() const;
  // Ratios s of a geometric ladder, both ends within the model's own.
  std::vector<Level> ladder(double largest, double smallest) const;
};

struct RestorePlan {
  ReverseTable table;
  std::unique_ptr<MeasurementHooks> hooks;
};

struct Solver {
  const char* name;
  const char* summary;
  int usual_steps, published_steps;  // the first for images as this machine has them, the second of the paper
  Needs needs;                       // where the measurement has no noise,
  Needs needs_noisy;                 // and where it has
  std::span<const SamplerOption> options;
  RestorePlan (*plan)(const RestoreProblem& problem);
};

struct SolverSettings {
  int steps = 0;           // 0: the solver's usual number
  bool published = false;  // or the published one
  std::optional<bool> clip_sample = std::nullopt;
  std::vector<std::string> set = {};  // key=value, for the solver's options
};

std::span<const Solver* const> solvers();
const Solver& solver_named(std::string_view name);  // UserError with the names there are
std::vector<std::string> solver_lines();            // for help: every solver with its options

bool fits(const Solver& solver, MeasurementOperator& op, double noise);
// UserError where operator, noise, model and solver do not fit, saying which solvers would. op outlives the plan.
RestorePlan restore_plan(const Solver& solver, const NoiseSchedule& schedule, const SolverSettings& settings,
                         MeasurementOperator& op, double noise);

}  // namespace ito
