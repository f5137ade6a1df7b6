// SPDX-License-Identifier: Apache-2.0
// Closed forms of the families. vp-sde and sub-vp have no noise at t = 0, where no network is asked: t is at least 1e-5
// there, as Song et al. 2021 have it (appendix C).
#include "engine/diffusion/family.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr std::array<std::string_view, 6> kNames = {"vp", "vp-sde", "sub-vp", "ve", "edm", "flow"};  // as enumerated
constexpr double kLeastTime = 1e-5;

struct ClassFamily {
  std::string_view class_name;
  Family family;
};
constexpr ClassFamily kClasses[] = {{"ScoreSdeVpScheduler", Family::VpSde},
                                    {"ScoreSdeVeScheduler", Family::Ve},
                                    {"EDMEulerScheduler", Family::Edm},
                                    {"EDMDPMSolverMultistepScheduler", Family::Edm},
                                    {"FlowMatchEulerDiscreteScheduler", Family::Flow},
                                    {"FlowMatchHeunDiscreteScheduler", Family::Flow}};

}  // namespace

std::vector<std::string> family_names() {
  return {kNames.begin(), kNames.end()};
}

std::string_view name_of(Family family) {
  return kNames.at(static_cast<size_t>(family));
}

Family family_of(std::string_view name, const std::string& where) {
  const auto at = std::find(kNames.begin(), kNames.end(), name);
  if (at != kNames.end()) return static_cast<Family>(at - kNames.begin());
  const std::vector<std::string> known = family_names();
  fail<UserError>(where, ": family ", quote_name(name), " is not known; use one of ", list_names(known),
                  did_you_mean(name, known));
}

Family family_of_class(std::string_view class_name) {
  for (const ClassFamily& one : kClasses)
    if (one.class_name == class_name) return one.family;
  return Family::Vp;
}

std::string_view class_of(Family family) {
  if (family == Family::SubVp) family = Family::VpSde;  // has none of its own
  for (const ClassFamily& one : kClasses)
    if (one.family == family) return one.class_name;
  return "DDPMScheduler";
}

Mixing mixing(Family family, double s) {
  ITO_CHECK(s > 0, "mixing: noise to signal ", s, ", expected above 0");
  const bool pure_noise = std::isinf(s);
  switch (family) {
    case Family::Vp:
    case Family::VpSde: {
      if (pure_noise) return {0, 1};
      const double alpha = 1 / std::sqrt(1 + s * s);
      return {alpha, s * alpha};
    }
    case Family::SubVp: {  // s = (1 - alpha^2) / alpha, solved without a difference of like numbers
      if (pure_noise) return {0, 1};
      const double alpha = 2 / (s + std::sqrt(s * s + 4));
      return {alpha, s * alpha};
    }
    case Family::Ve:
    case Family::Edm:
      ITO_CHECK(!pure_noise, "mixing: a ", name_of(family), " state has no pure noise");
      return {1, s};
    case Family::Flow:
      if (pure_noise) return {0, 1};
      return {1 / (1 + s), s / (1 + s)};
  }
  return {1, s};
}

double Process::s(double t) const {
  switch (family) {
    case Family::Vp:
      break;
    case Family::VpSde:
    case Family::SubVp: {
      const double time = std::max(t, kLeastTime);
      const double log_abar = -time * time * (beta_max - beta_min) / 2 - time * beta_min;  // 2 ln alpha
      if (family == Family::VpSde) return std::sqrt(std::expm1(-log_abar));
      return -std::expm1(log_abar) * std::exp(-log_abar / 2);
    }
    case Family::Ve:
    case Family::Edm:
      return sigma_min * std::pow(sigma_max / sigma_min, t);
    case Family::Flow:
      return t >= 1 ? std::numeric_limits<double>::infinity() : t / (1 - t);
  }
  fail<Error>("process: the family ", name_of(family), " has a table, no closed form");
}

double Process::t(double s) const {
  switch (family) {
    case Family::Vp:
      break;
    case Family::VpSde:
    case Family::SubVp: {
      const double grown =
          family == Family::VpSde ? std::log1p(s * s) : -2 * std::log(mixing(Family::SubVp, s).alpha);  // -2 ln alpha
      const double slope = beta_max - beta_min;
      return 2 * grown / (beta_min + std::sqrt(beta_min * beta_min + 2 * slope * grown));
    }
    case Family::Ve:
    case Family::Edm:
      return std::log(s / sigma_min) / std::log(sigma_max / sigma_min);
    case Family::Flow:
      return std::isinf(s) ? 1 : s / (1 + s);
  }
  fail<Error>("process: the family ", name_of(family), " has a table, no closed form");
}

double Process::rate(double t) const {
  ITO_CHECK(family == Family::VpSde || family == Family::SubVp, "process: the family ", name_of(family),
            " has no beta(t)");
  return beta_min + t * (beta_max - beta_min);
}

}  // namespace ito
