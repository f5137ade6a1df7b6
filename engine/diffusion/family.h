// SPDX-License-Identifier: Apache-2.0
// Families of forward processes. All of them mix data and noise, x = alpha x0 + sigma eps, and at one noise-to-signal
// ratio s = sigma / alpha their states differ by a factor alone: what one family's network says can be used by a
// sampler that works in another's variables.
//   vp      alpha^2 + sigma^2 = 1, of tabled betas                                    (Ho et al. 2020)
//   vp-sde  the same with beta(t) = beta_min + t (beta_max - beta_min), t in [0, 1]   (Song et al. 2021, eq. 11)
//   sub-vp  alpha as in vp-sde, sigma = 1 - alpha^2                                   (Song et al. 2021, eq. 13)
//   ve      alpha = 1, s from sigma_min to sigma_max, geometric in t                  (Song et al. 2021, eq. 9)
//   edm     alpha = 1, with a preconditioned network                                  (Karras et al. 2022, section 5)
//   flow    alpha = 1 - u, sigma = u, u in [0, 1]                                     (Liu et al. 2023)
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ito {

enum class Family : uint8_t { Vp, VpSde, SubVp, Ve, Edm, Flow };

std::vector<std::string> family_names();
std::string_view name_of(Family family);
Family family_of(std::string_view name, const std::string& where);  // UserError with the names there are
// What a scheduler class of diffusers is for; Family::Vp for every class that is not for another.
Family family_of_class(std::string_view class_name);
// The class that a family's models are usually sampled with.
std::string_view class_of(Family family);

struct Mixing {
  double alpha, sigma;
};
// At a ratio s > 0, infinite where the family reaches pure noise; Error for ve and edm there.
Mixing mixing(Family family, double s);

// A family's s over the time of its process, where that is a closed form (all but vp). t: 0 (least noise) to 1.
struct Process {
  Family family;
  double beta_min, beta_max;    // vp-sde and sub-vp
  double sigma_min, sigma_max;  // ve and edm

  double s(double t) const;
  double t(double s) const;     // its inverse
  double rate(double t) const;  // beta(t), of vp-sde and sub-vp
};

}  // namespace ito
