// SPDX-License-Identifier: Apache-2.0
// The variational bound of points (Ho et al. 2020, eq. 5), term by term, estimated without bias by one noised state for
// every point and timestep:
//   -ln p(x0) <= L_T + sum_{t > 1} L_{t-1} + L_0
// by any reverse option (engine/diffusion/options). With the marginal option it is the bound whose variances know what
// the network does not know (Bao et al. 2022, "Analytic-DPM").
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/diffusion/schedule.h"
#include "engine/diffusion/variational_rows.h"
#include "engine/program/label_rows.h"
#include "engine/program/network.h"

namespace ito {

struct BoundSettings {
  int batch = 64;  // noised images at a time
  uint64_t seed = 0;
  int64_t first = 0;  // number of the first point, which its draws belong to
  DType compute = DType::F32;
  size_t memory_limit = SIZE_MAX;  // bytes; UserError with the sum if the plan needs more
};

// All in nats a number, the mean over the numbers of a point.
struct VariationalBound {
  // (points), which add up to the bound.
  std::vector<double> prior;    // L_T
  std::vector<double> between;  // the sum of all L_{t-1}
  std::vector<double> last;     // L_0
  // (timesteps), means over the points and their standard errors; index 0 is L_0, index t what the step from timestep t
  // to t-1 costs.
  std::vector<double> term, term_standard_error;

  double at(size_t point) const { return prior[point] + between[point] + last[point]; }
};

// rows: of variational_rows, for the schedule's timesteps. images (count, H, W, C) and their labels as the network has
// them. weights: an arena in device memory. A term's draw depends on the seed, the point's number and the timestep
// alone: number * timesteps + timestep, mod 2^32, is its sample of Purpose::Noise. progress(terms done), if given,
// begins with 0 once the plan is known to fit. Error that names point and timestep where a term is not finite.
VariationalBound measure_bound(const Network& network, const float* weights, const NoiseSchedule& schedule,
                               const std::vector<VariationalRow>& rows, const std::vector<float>& images,
                               const Labels& labels, const BoundSettings& settings,
                               const std::function<void(int64_t)>& progress = {});

// The same in two steps, for points that several processes share. take(term) gets, in order, the terms of all timesteps
// of each of the first `count` images.
void measure_terms(const Network& network, const float* weights, const NoiseSchedule& schedule,
                   const std::vector<VariationalRow>& rows, const std::vector<float>& images, const Labels& labels,
                   int64_t count, const BoundSettings& settings, const std::function<void(double)>& take,
                   const std::function<void(int64_t)>& progress = {});

// Takes the terms of all points, in order.
class BoundSums {
 public:
  explicit BoundSums(int64_t timesteps);
  void add(double term);
  VariationalBound bound(std::vector<double> prior) &&;  // prior: of as many points

 private:
  int64_t timesteps_, taken_ = 0;
  VariationalBound sums_;
  std::vector<double> squares_;
};

// L_T of images (count, H, W, C).
std::vector<double> prior_terms(const NoiseSchedule& schedule, const std::vector<float>& images, int64_t size);

}  // namespace ito
