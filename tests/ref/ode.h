// SPDX-License-Identifier: Apache-2.0
// One try of the adaptive solver in plain fp64 loops: Dormand and Prince's weights as published, and the controller.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

namespace ito::ref {

inline const std::vector<std::vector<double>> kStageWeights = {
    {1.0},  // of the first try
    {1.0 / 5},
    {3.0 / 40, 9.0 / 40},
    {44.0 / 45, -56.0 / 15, 32.0 / 9},
    {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
    {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
    {35.0 / 384, 0.0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84}};
inline const std::vector<double> kStageTimes = {1, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1, 1};
// y' less the solution of order 4 (5179/57600, 0, 7571/16695, 393/640, -92097/339200, 187/2100, 1/40).
inline double error_weight(int j) {
  const double fourth[] = {5179.0 / 57600, 0, 7571.0 / 16695, 393.0 / 640, -92097.0 / 339200, 187.0 / 2100, 1.0 / 40};
  return (j < 6 ? kStageWeights[6][j] : 0) - fourth[j];
}

// y + step sum_j a_j k_j of one number with the slopes k.
inline double stage(int number, double y, double step, const std::vector<double>& k) {
  double sum = 0;
  for (size_t j = 0; j < kStageWeights[number].size(); ++j) sum += kStageWeights[number][j] * k[j];
  return y + step * sum;
}

// The square of step sum_j e_j k_j / scale.
inline double scaled_square(double y, double after, double step, const std::vector<double>& k, double rtol,
                            double atol) {
  double error = 0;
  for (int j = 0; j < 7; ++j) error += error_weight(j) * k[j];
  const double ratio = step * error / (atol + rtol * std::max(std::fabs(y), std::fabs(after)));
  return ratio * ratio;
}

// What the step is multiplied by.
inline double step_factor(double err, bool rejected_before) {
  if (err < 1) return std::min(rejected_before ? 1.0 : 10.0, err == 0 ? 10 : 0.9 * std::pow(err, -0.2));
  return std::max(0.2, 0.9 * std::pow(err, -0.2));
}

}  // namespace ito::ref
