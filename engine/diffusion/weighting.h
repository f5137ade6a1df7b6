// SPDX-License-Identifier: Apache-2.0
// Weights of the squared error by level. A published weight is one of the error of eps or of the error of x0. At a
// level x_t is given, so that with x_t = alpha x0 + sigma eps errors of the two are bound to each other,
//   alpha dx0 + sigma deps = 0,
// and to the error of what the network predicts, p x0 + q eps:
//   dx0 = -(sigma / d) dpredicted,  deps = (alpha / d) dpredicted,  d = alpha q - sigma p.
// A weight w_eps of |deps|^2 is therefore SNR w_eps of |dx0|^2, SNR = alpha^2 / sigma^2, and the squared error of the
// predicted quantity gets
//   w_eps (alpha / d)^2 = w_x0 (sigma / d)^2:
// of eps w_eps, of x0 w_x0, of v (d = 1 where alpha^2 + sigma^2 = 1) alpha^2 w_eps, of the score sigma^2 w_eps, of the
// flow w_eps (alpha / (alpha + sigma))^2, of a preconditioned network c_out^2 w_x0.
// To add a weighting: one file beside weightings/snr.cpp that defines a Weighting, and its line in weighting.cpp.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "engine/diffusion/levels.h"
#include "engine/diffusion/reading.h"
#include "engine/io/named_choice.h"

namespace ito {

// One weight said twice: of the squared error of eps, and of that of x0, which is SNR times it. Where the SNR is 0 or
// infinite one of them may be infinite while the other is the limit, so that neither is made from the other.
struct ErrorWeights {
  double eps, x0;
};

struct Weighting {
  const char* name;
  const char* summary;
  std::span<const ChoiceNumber> numbers;  // one that the scheduler's configuration has too is usually as it says there
  // snr: 0 to infinity, both ends included; no weight is NaN. Null: the weight that the quantity has of itself.
  ErrorWeights (*weights)(double snr, std::span<const double> values);
};

std::span<const Weighting* const> weightings();
std::vector<std::string> weighting_names();
std::vector<std::string> weighting_lines();  // what each is and the numbers it takes, for help

// A weighting with its numbers.
class LossWeighting {
 public:
  LossWeighting() = default;  // none
  LossWeighting(const Weighting* weighting, std::vector<double> values)
      : weighting_(weighting), values_(std::move(values)) {}

  std::string text() const;  // "min-snr:gamma=5"
  // Of the squared error of the predicted quantity at the level; target: what the network is taught there. Infinite
  // where the published weight is.
  double weight(const Level& level, const Target& target) const;

 private:
  const Weighting* weighting_ = nullptr;
  std::vector<double> values_;
};

// "name" or "name:key=value,..."; `where` (an option) begins the UserError for what is not known.
LossWeighting loss_weighting_of(std::string_view text, const SchedulerConfig& config, const std::string& where);

}  // namespace ito
