// SPDX-License-Identifier: Apache-2.0
// The moving averages of a run by name: "0.9999,sigma-rel-0.05" is a decay that the average ramps up to, and a power
// function by its relative width. The first is what a checkpoint's network holds, the others stand beside it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "kernels/optim/gradient_norm.h"

namespace ito {

struct NamedEma {
  std::string name;  // "0.9999", "sigma-rel-0.05": as shortly as the number can be written
  EmaProfile profile;
  double sigma_rel = 0;  // of a power function
};

// text: names, commas between; "": one of `usual_decay`. UserError beginning with `where` (an option) for what is none,
// stands twice or is one too many.
std::vector<NamedEma> emas_of(std::string_view text, double usual_decay, const std::string& where);
std::string text_of(const std::vector<NamedEma>& emas);
void set_emas(OptimizerSettings& settings, const std::vector<NamedEma>& emas);
std::string power_ema_name(double sigma_rel);

}  // namespace ito
