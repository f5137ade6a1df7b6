// SPDX-License-Identifier: Apache-2.0
// Stochastic image denoising (Kawar, Vaksman and Elad 2021): SNIPS of the image itself, from the measurement on and at
// the levels below its noise alone, so that every step follows the posterior's own score. Its ladder is SNIPS's, cut
// off at the noise.
#include <algorithm>

#include "engine/inverse/solvers/snips.h"

namespace ito {
namespace {

constexpr SamplerOption kSigmaMax = {"sigma_max", 90, 1e-3, 1e6, "the first level of the ladder that is cut off"};
constexpr SamplerOption kSigmaMin = {"sigma_min", 0.01, 1e-6, 1e3, "the last level, or the model's least"};
constexpr SamplerOption kOptions[] = {kLangevinStep, kLangevinInner, kSigmaMax, kSigmaMin};

RestorePlan stochastic_denoise(const RestoreProblem& p) {
  std::vector<Level> levels = p.ladder(p.option(kSigmaMax.key), p.option(kSigmaMin.key));
  std::erase_if(levels, [&](const Level& level) { return level.s() >= p.noise; });
  ITO_USER_CHECK(!levels.empty(), "solver ", p.solver.name, ": noise of ", p.noise / 2,
                 " (of [0, 1] data) is below the model's least level; there is nothing to denoise");
  return langevin_plan(p, levels, [&](const Coordinate&) { return EditWeights{.y = levels.front().alpha}; });
}

}  // namespace

extern const Solver kStochasticDenoise;
const Solver kStochasticDenoise = {
    .name = "stochastic-denoise",
    .summary = "Langevin steps from the noisy image to a clean one (Kawar, Vaksman and Elad 2021); steps are levels",
    .usual_steps = 100,
    .published_steps = 500,
    .needs = Needs::Noise,
    .needs_noisy = Needs::Identity,
    .options = kOptions,
    .plan = stochastic_denoise,
};

}  // namespace ito
