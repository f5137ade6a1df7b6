// SPDX-License-Identifier: Apache-2.0
// The beta schedules, by the names diffusers gives them. diffusers rounds betas and their product to fp32; here both
// stay in double, which moves abar by up to 4e-6 of itself.
#include "engine/diffusion/schedule.h"

#include <cmath>
#include <numbers>

#include "kernels/error.h"

namespace ito {
namespace {

// Point i of n on the line from a to b, both ends included.
double on_line(double a, double b, int i, int n) {
  return n == 1 ? a : a + (b - a) * i / (n - 1);
}

std::vector<double> make_betas(const SchedulerConfig& config) {
  if (config.trained_betas) return *config.trained_betas;
  const int steps = config.num_train_timesteps;
  const double start = config.beta_start, end = config.beta_end;
  // Nichol and Dhariwal 2021, eq. 17: abar as a function of u in [0, 1], not normalised at 0 (ratios only).
  const auto cosine = [](double u) {
    const double c = std::cos((u + 0.008) / 1.008 * std::numbers::pi / 2);
    return c * c;
  };
  std::vector<double> betas(steps);
  for (int i = 0; i < steps; ++i) {
    switch (config.beta_schedule) {
      case BetaSchedule::Linear:
        betas[i] = on_line(start, end, i, steps);
        break;
      case BetaSchedule::ScaledLinear:
        betas[i] = std::pow(on_line(std::sqrt(start), std::sqrt(end), i, steps), 2);
        break;
      case BetaSchedule::SquaredCosCapV2:
        betas[i] = std::min(1 - cosine((i + 1.0) / steps) / cosine(static_cast<double>(i) / steps), 0.999);
        break;
      case BetaSchedule::Sigmoid:
        betas[i] = (end - start) / (1 + std::exp(-on_line(-6, 6, i, steps))) + start;
        break;
    }
  }
  return betas;
}

std::vector<double> cumulative_alpha(const std::vector<double>& betas) {
  std::vector<double> abars(betas.size());
  double product = 1;
  for (size_t i = 0; i < betas.size(); ++i) abars[i] = product *= 1 - betas[i];
  return abars;
}

// Lin et al. 2023, algorithm 1: sqrt(abar) is shifted to end at 0 and scaled to keep its first value.
void rescale_to_zero_snr(std::vector<double>& betas, std::vector<double>& abars) {
  const double first = std::sqrt(abars.front()), last = std::sqrt(abars.back());
  for (double& value : abars) {
    const double root = (std::sqrt(value) - last) * first / (first - last);
    value = root * root;
  }
  for (size_t i = 0; i < betas.size(); ++i) betas[i] = 1 - abars[i] / (i ? abars[i - 1] : 1.0);
}

std::vector<double> abars_of(const Process& process, int steps) {
  std::vector<double> abars;
  for (int i = 0; i < steps; ++i) {
    const double t = process.family == Family::Flow ? (i + 1.0) / steps : on_line(0, 1, i, steps);
    const double s = process.s(t);
    abars.push_back(1 / (1 + s * s));
  }
  return abars;
}

}  // namespace

Posterior gaussian_posterior(double abar, double abar_previous) {
  const double alpha = abar / abar_previous, beta = 1 - alpha;
  return {.from_x0 = std::sqrt(abar_previous) * beta / (1 - abar),
          .from_x = std::sqrt(alpha) * (1 - abar_previous) / (1 - abar),
          .beta = beta,
          .variance = (1 - abar_previous) / (1 - abar) * beta};
}

NoiseSchedule::NoiseSchedule(const SchedulerConfig& config) : config_(config) {
  check_scheduler_config(config_, "scheduler");
  if (const std::optional<Process> closed = process()) {
    abars_ = abars_of(*closed, config_.num_train_timesteps);
    for (size_t i = 0; i < abars_.size(); ++i) betas_.push_back(1 - abars_[i] / (i ? abars_[i - 1] : 1.0));
    return;
  }
  betas_ = make_betas(config_);
  abars_ = cumulative_alpha(betas_);
  if (config_.rescale_betas_zero_snr) rescale_to_zero_snr(betas_, abars_);
}

std::optional<Process> NoiseSchedule::process() const {
  if (config_.family == Family::Vp) return std::nullopt;
  return Process{.family = config_.family,
                 .beta_min = config_.beta_min,
                 .beta_max = config_.beta_max,
                 .sigma_min = config_.sigma_min,
                 .sigma_max = config_.sigma_max};
}

double NoiseSchedule::beta(Step step) const {
  ITO_CHECK(step.t() >= 1 && step.t() <= steps(), "noise schedule: beta at t = ", step.t(), "; expected 1 to ",
            steps());
  return betas_[step.timestep()];
}

double NoiseSchedule::abar(Step step) const {
  ITO_CHECK(step.t() >= 0 && step.t() <= steps(), "noise schedule: abar at t = ", step.t(), "; expected 0 to ",
            steps());
  return step == Step::clean() ? 1.0 : abars_[step.timestep()];
}

double NoiseSchedule::posterior_variance(Step step) const {
  return gaussian_posterior(abar(step), abar(step.previous())).variance;
}

}  // namespace ito
