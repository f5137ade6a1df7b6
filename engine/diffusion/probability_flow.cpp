// SPDX-License-Identifier: Apache-2.0
// See probability_flow.h. Between the rows kernels/diffusion/probability_flow.h interpolates by cubics.
#include "engine/diffusion/probability_flow.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace ito {
namespace {

constexpr int kIntervals = 4096;  // over e^22 at the very most: 5e-3 apart
constexpr double kMostRatio = 4096;

FlowRow slope_row(const Level& level, const Reading& reading) {
  const CallAt call = reading.call(level);
  const double alpha = level.alpha, sigma = level.sigma;
  return {.time = call.time,
          .input_scale = call.input_scale,
          .from_x = alpha * sigma * (alpha * call.eps.from_x - sigma * call.x0.from_x),
          .from_pred = alpha * sigma * (alpha * call.eps.from_given - sigma * call.x0.from_given)};
}

}  // namespace

double ProbabilityFlow::least_time() const {
  return std::min_element(rows.begin(), rows.end(), [](const FlowRow& a, const FlowRow& b) { return a.time < b.time; })
      ->time;
}

ProbabilityFlow probability_flow(const Levels& levels, const Reading& reading, const Level& noisy, const Level& clean) {
  const double high = std::log(std::min(noisy.s(), kMostRatio)), low = std::log(clean.s());
  ITO_USER_CHECK(low < high, "probability flow: ends at noise to signal ", clean.s(), " and ", noisy.s(),
                 "; expected an end of less noise than the other (num_train_timesteps 2 or more)");
  ProbabilityFlow flow;
  flow.first = flow.data = low;
  flow.noise = high;
  flow.spacing = (high - low) / kIntervals;
  for (int i = 0; i <= kIntervals; ++i)
    flow.rows.push_back(slope_row(levels.of_s(std::exp(low + i * flow.spacing)), reading));
  const bool keeps_data = levels.family() == Family::Ve || levels.family() == Family::Edm;
  flow.noise_std = keeps_data ? noisy.sigma : 1;
  flow.data_alpha = clean.alpha;
  const CallAt call = reading.call(clean);
  flow.x0 = {
      .time = call.time, .input_scale = call.input_scale, .from_x = call.x0.from_x, .from_pred = call.x0.from_given};
  return flow;
}

}  // namespace ito
