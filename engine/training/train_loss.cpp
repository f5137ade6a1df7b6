// SPDX-License-Identifier: Apache-2.0
// See train_loss.h.
#include "engine/training/train_loss.h"

#include <array>
#include <numbers>
#include <vector>

#include "engine/diffusion/options/option.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"squared", "hybrid", "bound"};  // in the order of the enumerators
constexpr double kHybridShare = 0.001;

}  // namespace

std::string_view name_of(TrainLoss loss) {
  return kNames.at(static_cast<size_t>(loss));
}

std::string train_loss_names() {
  std::string names;
  for (const std::string_view name : kNames) names += (names.empty() ? "" : ", ") + std::string(name);
  return names;
}

TrainLoss train_loss_of(std::string_view name, const SchedulerConfig& config, const std::string& where) {
  const bool learned = config.variance_type == VarianceType::LearnedRange;
  if (name.empty()) return learned ? TrainLoss::Hybrid : TrainLoss::Squared;
  size_t at = 0;
  while (at < kNames.size() && kNames[at] != name) ++at;
  ITO_USER_CHECK(at < kNames.size(), where, " ", quote_name(name), ": is not known; use one of ", train_loss_names(),
                 did_you_mean(name, std::vector<std::string>(kNames.begin(), kNames.end())));
  const auto loss = static_cast<TrainLoss>(at);
  ITO_USER_CHECK(!learned || loss != TrainLoss::Squared, where, " ", name,
                 ": teaches no variance, and variance_type is learned_range; use hybrid or bound");
  ITO_USER_CHECK(learned || loss != TrainLoss::Hybrid, where, " ", name,
                 ": is for a learned variance, and variance_type is ", name_of(config.variance_type),
                 "; use squared or bound, or variance_type learned_range");
  const ReverseOption& reverse = reverse_option_named(config.reverse, where);
  ITO_USER_CHECK(loss == TrainLoss::Squared || learned || !reverse.asks_statistics, where, " ", name, ": reverse ",
                 reverse.name,
                 " takes its variance from what was measured of the network, so that it has no bound to train with; "
                 "use squared, or another reverse option");
  return loss;
}

double bound_factor(TrainLoss loss, int timesteps) {
  switch (loss) {
    case TrainLoss::Squared:
      return 0;
    case TrainLoss::Hybrid:
      return kHybridShare * timesteps / std::numbers::ln2;
    case TrainLoss::Bound:
      return timesteps / std::numbers::ln2;
  }
  return 0;
}

}  // namespace ito
