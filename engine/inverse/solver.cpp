// SPDX-License-Identifier: Apache-2.0
// The list of solvers, the choice by name, and whether one fits an operator.
#include "engine/inverse/solver.h"

#include <algorithm>
#include <cmath>

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"

namespace ito {

extern const Solver kImputation, kBlend, kDdrm, kDdnm, kPigdm, kDps, kMcg, kSnips, kStochasticDenoise, kRepaint,
    kDiffpir, kRedDiff;

namespace {

constexpr const Solver* kSolvers[] = {
    &kImputation,        &kBlend,   &kDdrm,    &kDdnm,   &kPigdm, &kDps, &kMcg, &kSnips,
    &kStochasticDenoise, &kRepaint, &kDiffpir, &kRedDiff};

std::vector<std::string> solver_names() {
  std::vector<std::string> names;
  for (const Solver* solver : kSolvers) names.emplace_back(solver->name);
  return names;
}

bool is_mask(MeasurementOperator& op) {
  Spectrum* spectrum = op.spectrum();
  if (!spectrum || !spectrum->is_pixel_basis()) return false;
  const std::vector<double>& values = spectrum->values();
  return std::all_of(values.begin(), values.end(), [](double value) { return value == 0 || value == 1; });
}

bool offers(MeasurementOperator& op, Needs needs) {
  switch (needs) {
    case Needs::Spectrum:
      return op.spectrum() != nullptr;
    case Needs::Projection:
      return op.linear() && op.has_pseudo_inverse();
    case Needs::LinearOrInverse:
      return op.linear() || op.has_pseudo_inverse();
    case Needs::Linear:
      return op.linear();
    case Needs::Derivative:
      return op.differentiable();
    case Needs::Mask:
      return is_mask(op);
    case Needs::Identity:
      return is_mask(op) && op.spectrum()->values() == std::vector<double>{1.0};
    case Needs::Noise:
      return false;  // what has none
  }
  return false;
}

const char* name_of(Needs needs) {
  switch (needs) {
    case Needs::Spectrum:
      return "singular values of the operator";
    case Needs::Projection:
      return "a linear operator with a pseudo-inverse";
    case Needs::LinearOrInverse:
      return "a linear operator, or one with a pseudo-inverse";
    case Needs::Linear:
      return "a linear operator";
    case Needs::Derivative:
      return "an operator with a derivative";
    case Needs::Mask:
      return "a mask of the image's numbers (inpaint)";
    case Needs::Identity:
      return "an image as a whole (denoise)";
    case Needs::Noise:
      return "a measurement with noise";
  }
  return "";
}

Needs needs_of(const Solver& solver, double noise) {
  return noise > 0 ? solver.needs_noisy : solver.needs;
}

void check_fit(const Solver& solver, MeasurementOperator& op, double noise) {
  const Needs needs = needs_of(solver, noise);
  if (fits(solver, op, noise)) return;
  std::vector<std::string> others;
  for (const Solver* other : kSolvers)
    if (fits(*other, op, noise)) others.emplace_back(other->name);
  const std::string use = others.empty() ? "no solver can work with it" : "use one of " + list_names(others);
  ITO_USER_CHECK(needs != Needs::Noise, "solver ", solver.name,
                 ": takes noise away, and a measurement with sigma_y 0 has none; ", use);
  fail<UserError>(
      "solver ", solver.name, ": needs ", name_of(needs),
      noise > 0 && solver.needs != Needs::Noise && solver.needs != needs ? " where the measurement is noisy" : "",
      ", which this operator does not have; ", use);
}

std::string who(const Solver& solver) {
  return std::string("solver ") + solver.name;
}

std::vector<SamplerOption> options_of(const Solver& solver) {
  return {solver.options.begin(), solver.options.end()};
}

}  // namespace

std::span<const Solver* const> solvers() {
  return kSolvers;
}

const Solver& solver_named(std::string_view name) {
  for (const Solver* solver : kSolvers)
    if (solver->name == name) return *solver;
  fail<UserError>("solver ", quote_name(name), " is not known; use one of ", list_names(solver_names()),
                  did_you_mean(name, solver_names()));
}

bool fits(const Solver& solver, MeasurementOperator& op, double noise) {
  return offers(op, needs_of(solver, noise));
}

std::vector<std::string> solver_lines() {
  std::vector<std::string> lines;
  for (const Solver* solver : kSolvers) {
    lines.push_back(join_text(solver->name, ": ", solver->summary, "; ", solver->usual_steps, " steps usually, ",
                              solver->published_steps, " published; needs ", name_of(solver->needs_noisy)));
    for (const std::string& line : option_lines(options_of(*solver))) lines.push_back("  " + line);
  }
  return lines;
}

double RestoreProblem::option(std::string_view key) const {
  return values.at(option_index(who(solver), options_of(solver), key));
}

std::vector<Level> RestoreProblem::nodes() const {
  std::vector<Level> nodes;
  ITO_USER_CHECK(steps <= levels.steps(), who(solver), ": ", steps, " steps; expected 1 to ", levels.steps(),
                 ", the timesteps the model was trained on");
  for (int64_t i = steps - 1; i >= 0; --i) nodes.push_back(levels.at(static_cast<double>(i * levels.steps() / steps)));
  nodes.push_back(levels.at(-1));
  return nodes;
}

std::vector<Level> RestoreProblem::ladder(double largest, double smallest) const {
  const double top = std::min(largest, levels.at(levels.steps() - 1).s()),
               bottom = std::max(smallest, levels.at(0).s());
  ITO_USER_CHECK(top > bottom, who(solver), ": noise levels from ", largest, " to ", smallest,
                 " have no part among the model's, ", levels.at(levels.steps() - 1).s(), " to ", levels.at(0).s());
  std::vector<Level> found;
  for (int i = 0; i < steps; ++i)
    found.push_back(levels.of_s(top * std::pow(bottom / top, steps > 1 ? i / (steps - 1.0) : 0.0)));
  return found;
}

RestorePlan restore_plan(const Solver& solver, const NoiseSchedule& schedule, const SolverSettings& settings,
                         MeasurementOperator& op, double noise) {
  ITO_CHECK(noise >= 0, "a measurement's noise of ", noise);
  check_fit(solver, op, noise);
  const SchedulerConfig& config = schedule.config();
  ITO_USER_CHECK(!config.thresholding, who(solver),
                 ": thresholding is true in the scheduler configuration, which solvers do not do; set it to false");
  RestoreProblem problem{
      .solver = solver,
      .op = op,
      .noise = noise,
      .config = config,
      .levels = Levels(schedule, kTerminalAbar),
      .reading = Reading::of(config),
      .steps = settings.steps       ? settings.steps
               : settings.published ? solver.published_steps
                                    : solver.usual_steps,
      .clip = {.range = settings.clip_sample.value_or(config.clip_sample) ? config.clip_sample_range : 0},
      .values = {}};
  for (const SamplerOption& option : solver.options) problem.values.push_back(option.usual);
  set_option_values(who(solver), options_of(solver), settings.set, problem.values);
  return solver.plan(problem);
}

}  // namespace ito
