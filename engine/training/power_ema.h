// SPDX-License-Identifier: Apache-2.0
// Moving averages by power functions (Karras et al. 2024, section 3 and appendix C): after t updates the weights of
// update tau in (0, t] have the profile
//   p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1),
// which (1 - 1/t)^(gamma + 1) as the decay of update t makes, each update having p's integral over (tau - 1, tau]. Its
// standard deviation is sigma_rel t,
//   sigma_rel = sqrt(gamma + 1) / ((gamma + 2) sqrt(gamma + 3)).
// Any profile is near a sum of profiles that were kept at several times: the average of any width is found after
// training.
#pragma once
#include <cstdint>
#include <vector>

namespace ito {

inline constexpr double kLeastWidth = 0.001, kMostWidth = 0.28;  // of sigma_rel; gamma 0, all alike, is 0.2887

double gamma_of_width(double sigma_rel);
double width_of_gamma(double gamma);

struct PowerProfile {
  double gamma = 0;
  double updates = 0;  // t
};

// The integral of the profiles' product.
double inner_product(const PowerProfile& a, const PowerProfile& b);

// The coefficients x of the sum of kept profiles that is nearest to the wanted one, in least squares over tau: A x = b
// with the inner products A of the kept and b with the wanted, by Cholesky in double. error: the distance over the
// wanted profile's norm. Profiles that stand twice count once, the second with coefficient 0.
struct Reconstruction {
  std::vector<double> coefficients;
  double error = 0;
};
Reconstruction reconstruct_profile(const std::vector<PowerProfile>& kept, const PowerProfile& wanted);

}  // namespace ito
