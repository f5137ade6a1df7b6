// SPDX-License-Identifier: Apache-2.0
// See score_sde.h.
#include "engine/samplers/score_sde.h"

#include <cmath>

namespace ito {
namespace {

bool keeps_data(const SamplingProblem& p) {  // alpha is 1
  return p.levels.family() == Family::Ve || p.levels.family() == Family::Edm;
}

// The level i of N that a node's time belongs to: 0..N-1.
int discrete_level(const SamplingProblem& p, const Level& node) {
  return static_cast<int>(node.time / (p.levels.steps() - 1) * (p.steps() - 1));
}

double time_of(const SamplingProblem& p, int level) {
  return p.steps() == 1 ? p.levels.steps() - 1.0 : (p.levels.steps() - 1.0) * level / (p.steps() - 1);
}

double discrete_beta(const SamplingProblem& p, const Level& node) {
  const double beta = p.levels.rate(time_of(p, discrete_level(p, node))) / p.steps();
  ITO_USER_CHECK(beta < 1, "sampler ", p.sampler.name, ": ", p.steps(), " steps are too few, a step's beta is ", beta,
                 "; use more than ", p.levels.rate(p.levels.steps() - 1));
  return beta;
}

// s_i^2 and s_{i-1}^2 of a process whose alpha is 1.
struct Squares {
  double here, before;
};
Squares discrete_squares(const SamplingProblem& p, const Level& node) {
  const int i = discrete_level(p, node);
  const double here = p.levels.at(time_of(p, i)).s(), before = i > 0 ? p.levels.at(time_of(p, i - 1)).s() : 0;
  return {here * here, before * before};
}

// x' = from_x x + of_score score + noise z.
struct ReverseMove {
  double from_x, of_score, noise;
};

ReverseMove euler_maruyama(const SamplingProblem& p, const Level& node) {
  if (keeps_data(p)) {
    const double diffusion = node.s() * node.s() * p.levels.growth() / p.steps();
    return {1, diffusion, std::sqrt(diffusion)};
  }
  const double drift = p.levels.rate(node.time) / p.steps();
  double diffusion = drift;
  if (p.levels.family() == Family::SubVp) {
    const double alpha = p.reading.state(node, Space::Native).alpha;
    diffusion *= 1 - alpha * alpha * alpha * alpha;
  }
  return {1 + drift / 2, diffusion, std::sqrt(diffusion)};
}

ReverseMove reverse_diffusion(const SamplingProblem& p, const Level& node) {
  if (p.levels.family() == Family::SubVp) return euler_maruyama(p, node);
  if (keeps_data(p)) {
    const Squares s = discrete_squares(p, node);
    return {1, s.here - s.before, std::sqrt(s.here - s.before)};
  }
  const double beta = discrete_beta(p, node);
  return {2 - std::sqrt(1 - beta), beta, std::sqrt(beta)};
}

ReverseMove ancestral(const SamplingProblem& p, const Level& node) {
  ITO_USER_CHECK(p.levels.family() != Family::SubVp, "sampler ", p.sampler.name,
                 ": a sub-vp process has no ancestral step; use reverse-diffusion or euler-maruyama");
  if (keeps_data(p)) {
    const Squares s = discrete_squares(p, node);
    const double fall = s.here - s.before;
    return {1, fall, std::sqrt(s.before * fall / s.here)};
  }
  const double beta = discrete_beta(p, node), shrink = std::sqrt(1 - beta);
  return {1 / shrink, beta / shrink, std::sqrt(beta)};
}

}  // namespace

RowBuilder score_sde_rows(const SamplingProblem& p) {
  RowBuilder rows(p.reading, Space::Native, p.clip);
  rows.start_at(keeps_data(p) ? p.node(0).s() : 1);
  return rows;
}

void predict(const SamplingProblem& p, RowBuilder& rows, int i, Predictor rule, bool flow) {
  const Level& node = p.node(i);
  ITO_USER_CHECK(!flow || rule != Predictor::Ancestral, "sampler ", p.sampler.name,
                 ": an ancestral step has no probability flow; use reverse-diffusion or euler-maruyama");
  const ReverseMove step = rule == Predictor::ReverseDiffusion ? reverse_diffusion(p, node)
                           : rule == Predictor::Ancestral      ? ancestral(p, node)
                                                               : euler_maruyama(p, node);
  const double sigma = p.reading.state(node, Space::Native).sigma;
  rows.call(node).state().x(step.from_x).eps(-step.of_score * (flow ? 0.5 : 1) / sigma);
  if (!flow) rows.noise(i + 1 < p.steps() ? step.noise : 0);
}

void correct(const SamplingProblem& p, RowBuilder& rows, int i, Corrector rule, double signal_to_noise) {
  const Level& node = p.node(i);
  const double a = keeps_data(p) ? 1 : 1 - discrete_beta(p, node);
  const double sigma = p.reading.state(node, Space::Native).sigma;
  rows.call(node);
  if (rule == Corrector::Langevin) {
    rows.langevin(signal_to_noise, a).state().x(1).eps(-1 / sigma).noise(1);
    return;
  }
  const double step = 2 * a * signal_to_noise * signal_to_noise * sigma * sigma;
  rows.state().x(1).eps(-step / sigma).noise(std::sqrt(2 * step));
}

}  // namespace ito
