// SPDX-License-Identifier: Apache-2.0
// See conv_choice.h.
#include "kernels/seams/lanes/conv_choice.h"

#include <map>
#include <mutex>

#include "kernels/seams/kernel_table.h"
#include "kernels/seams/lanes/conv_trial.h"

namespace ito {
namespace {

// Why a layer may not depend on the family's runner; "" where it may.
std::string trouble_of(const ConvFamily& family, const ConvTask& task, const std::string& name) {
  try {
    const std::unique_ptr<ConvRunner> runner = family.make("trial", task, name);
    if (!runner) return "there is none for this layer";
    return family.tried ? try_conv(task, *runner) : "";
  } catch (const RunnerRefused& error) {
    return error.what();
  }
}

// Warns where a family of libraries or kernels proposed something and none of it passed.
std::string first_that_passes(const ConvTask& task) {
  std::string refused;
  for (const ConvFamily* family : conv_families(task)) {
    std::string refusal;
    try {
      for (const std::string& name : family->proposals(task)) {
        const std::string trouble = trouble_of(*family, task, name);
        if (trouble.empty()) {
          if (!refused.empty()) warn("the ", text_of(task), " runs on ", name, "; refused: ", refused);
          return name;
        }
        refusal = name + ": " + trouble;
      }
    } catch (const RunnerRefused& error) {
      refusal = error.what();
    }
    if (!refusal.empty()) refused += (refused.empty() ? "" : "; ") + refusal;
  }
  fail("the ", text_of(task), ": no kernel takes it; refused: ", refused);
}

}  // namespace

std::unique_ptr<ConvRunner> make_conv(const std::string& layer, const ConvTask& task, const std::string& name) {
  for (const ConvFamily* family : conv_families(task))
    if (name.substr(0, name.find(':')) == family->name) return family->make(layer, task, name);
  return nullptr;
}

namespace {

// null: the table leaves it to the rule.
std::unique_ptr<ConvRunner> from_table(const std::string& layer, const ConvTask& task, const std::string& key) {
  const KernelTable& table = kernel_table();
  const std::string* name = table.choice(key);
  if (!name) return nullptr;
  std::string trouble = "there is none here";
  try {
    if (std::unique_ptr<ConvRunner> runner = make_conv(layer, task, *name)) return runner;
  } catch (const RunnerRefused& error) {
    trouble = error.what();
  }
  const std::string text = join_text(table.source, ": '", key, "' is to run on '", *name, "': ", trouble);
  ITO_USER_CHECK(!table.binding, text, "; make a table on this machine");
  warn(text, "; taking what ", device_name(), " has");
  return nullptr;
}

}  // namespace

std::unique_ptr<ConvRunner> choose_conv(const std::string& layer, const ConvTask& task) {
  const std::string key = text_of(task);
  if (std::unique_ptr<ConvRunner> runner = from_table(layer, task, key)) return runner;
  static std::mutex mutex;
  static std::map<std::string, std::string> chosen;
  const std::lock_guard lock(mutex);
  auto at = chosen.find(key);
  if (at == chosen.end()) at = chosen.emplace(key, first_that_passes(task)).first;
  return make_conv(layer, task, at->second);
}

std::vector<ConvProposal> conv_proposals(const ConvTask& task) {
  std::vector<ConvProposal> all;
  for (const ConvFamily* family : conv_families(task)) {
    try {
      for (const std::string& name : family->proposals(task)) all.push_back({name, trouble_of(*family, task, name)});
    } catch (const RunnerRefused& error) {
      all.push_back({family->name, error.what()});
    }
  }
  return all;
}

}  // namespace ito
