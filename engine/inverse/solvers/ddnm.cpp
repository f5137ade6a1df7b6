// SPDX-License-Identifier: Apache-2.0
// DDNM and DDNM+ (Wang, Yu and Zhang 2023). Without noise the estimate's measured part is the data's:
//   D' = D - H+ (H D - y),  x' = sqrt(b) D' + sqrt(1-b) (eta z + sqrt(1 - eta^2) e),  e as before the correction.
// With noise the rule is DDRM's with eta_b = 1, from plain noise. Either may travel back in time.
#include <cmath>

#include "engine/inverse/solvers/ddrm.h"

namespace ito {
namespace {

constexpr SamplerOption kEta = {"eta", 0.85, 0, 1, "how much of a step's noise is new, 1: all"};
constexpr SamplerOption kTravelLength = count_option("travel_length", 1, 1, 1000, "steps of a climb back to noise");
constexpr SamplerOption kTravelVisits =
    count_option("travel_visits", 1, 1, 100, "how often a stretch is walked; 1: no climbs");
constexpr SamplerOption kOptions[] = {kEta, kTravelLength, kTravelVisits};

RestorePlan ddnm(const RestoreProblem& p) {
  const double eta = p.option(kEta.key), keep = std::sqrt(1 - eta * eta);
  const int length = static_cast<int>(p.option(kTravelLength.key)),
            visits = static_cast<int>(p.option(kTravelVisits.key));
  if (p.noise > 0)
    return ddrm_plan(
        p, {.eta = eta, .eta_b = 1, .starts_at_data = false, .travel_length = length, .travel_visits = visits});
  return walk_plan(p, p.nodes(), resampling_walk(p, length, visits), [&](const Level& from, const Level& to) {
    const double of_e = to.sigma * keep / from.sigma;
    return [=](const Coordinate& at) {
      EditWeights k{.d = -of_e * from.alpha, .x = of_e, .y = 0, .z = to.sigma * eta};
      (at.measured() ? k.y : k.d) += to.alpha;
      return k;
    };
  });
}

}  // namespace

extern const Solver kDdnm;
const Solver kDdnm = {
    .name = "ddnm",
    .summary = "the data in place of the estimate's measured part; DDNM+ where they are noisy (Wang et al. 2023)",
    .usual_steps = 100,
    .published_steps = 100,
    .needs = Needs::Projection,
    .needs_noisy = Needs::Spectrum,
    .options = kOptions,
    .plan = ddnm,
};

}  // namespace ito
