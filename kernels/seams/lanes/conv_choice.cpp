// SPDX-License-Identifier: Apache-2.0
// See conv_choice.h.
#include "kernels/seams/lanes/conv_choice.h"

#include <map>
#include <mutex>

#include "kernels/seams/lanes/conv_trial.h"

namespace ito {

std::unique_ptr<ConvRunner> choose_conv(const std::string& layer, const ConvTask& task) {
  const std::string key = text_of(task);
  const auto families = conv_families(task);
  const auto make = [&](const ConvFamily& family, const std::string& name) { return family.make(layer, task, name); };
  if (std::unique_ptr<ConvRunner> runner = make_from_table(families, key, make)) return runner;
  static std::mutex mutex;
  static std::map<std::string, std::string> chosen;
  const std::lock_guard lock(mutex);
  auto at = chosen.find(key);
  if (at == chosen.end()) {
    const auto try_one = [&](ConvRunner& runner) { return try_conv(task, runner); };
    at = chosen.emplace(key, first_that_passes(families, task, make, try_one)).first;
  }
  return make_named(families, at->second, make);
}

std::vector<KernelTiming> time_conv_choices(const ConvTask& task, int n) {
  std::vector<KernelTiming> all;
  const auto make = [&](const ConvFamily& family, const std::string& name) { return family.make("trial", task, name); };
  const auto try_one = [&](ConvRunner& runner) { return try_conv(task, runner); };
  for_proposals(conv_families(task), task, make, try_one, [&](const ConvFamily& family, const Proposal& proposal) {
    KernelTiming timing{text_of(task), proposal.name, proposal.trouble};
    if (timing.trouble.empty()) timing.seconds = time_conv(task, *make(family, proposal.name), n);
    all.push_back(std::move(timing));
    return false;
  });
  return all;
}

}  // namespace ito
