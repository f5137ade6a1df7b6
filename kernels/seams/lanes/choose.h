// SPDX-License-Identifier: Apache-2.0
// How a layer comes to a runner, for every kind of layer: what the kernel table says, untried; without a line there the
// first proposal of the device's families that passes its trial. A family has `name`, `tried`, `on_request` and
// `proposals(task)`; make(family, name) makes a runner or null; try_one(runner) says why a layer may not depend on it,
// or "".
#pragma once
#include <algorithm>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/seams/device.h"
#include "kernels/seams/kernel_table.h"
#include "kernels/seams/lanes/runner_refused.h"

namespace ito {

struct Proposal {
  std::string name, trouble;
};

// Calls take(family, proposal) for each, tried just then, until that says that it has seen enough.
template <class Family, class Task, class Make, class Try, class Take>
void for_proposals(std::span<const Family* const> families, const Task& task, const Make& make, const Try& try_one,
                   const Take& take) {
  const auto trouble_of = [&](const Family& family, const std::string& name) -> std::string {
    try {
      const auto runner = make(family, name);
      if (!runner) return "there is none for this layer";
      return family.tried ? try_one(*runner) : std::string();
    } catch (const RunnerRefused& error) {
      return error.what();
    }
  };
  for (const Family* family : families) {
    std::vector<std::string> names;
    try {
      names = family->proposals(task);
    } catch (const RunnerRefused& error) {
      if (take(*family, Proposal{family->name, error.what()})) return;
    }
    for (const std::string& name : names)
      if (take(*family, Proposal{name, trouble_of(*family, name)})) return;
  }
}

// Warns where a family proposed something and none of it passed.
template <class Family, class Task, class Make, class Try>
std::string first_that_passes(std::span<const Family* const> families, const Task& task, const Make& make,
                              const Try& try_one) {
  std::string chosen, refused, last;
  const Family* of = nullptr;
  std::vector<const Family*> free;
  std::ranges::copy_if(families, std::back_inserter(free), [](const Family* family) { return !family->on_request; });
  for_proposals<Family>(free, task, make, try_one, [&](const Family& family, const Proposal& proposal) {
    if (of && of != &family && !last.empty()) refused += (refused.empty() ? "" : "; ") + last;
    if (of != &family) last.clear();
    of = &family;
    if (proposal.trouble.empty())
      chosen = proposal.name;
    else
      last = proposal.name + ": " + proposal.trouble;
    return !chosen.empty();
  });
  ITO_CHECK(!chosen.empty(), "the ", text_of(task), ": no kernel takes it; refused: ", refused);
  if (!refused.empty()) warn("the ", text_of(task), " runs on ", chosen, "; refused: ", refused);
  return chosen;
}

// null: no family has it.
template <class Family, class Make>
auto make_named(std::span<const Family* const> families, const std::string& name, const Make& make)
    -> decltype(make(*families.front(), name)) {
  for (const Family* family : families)
    if (name.substr(0, name.find(':')) == family->name) return make(*family, name);
  return nullptr;
}

// null: the table leaves it to the rule, with a warning if the table is not binding and has what there is not.
// UserError if it is binding.
template <class Family, class Make>
auto make_from_table(std::span<const Family* const> families, const std::string& key, const Make& make)
    -> decltype(make(*families.front(), key)) {
  const KernelTable& table = kernel_table();
  const std::string* name = table.choice(key);
  if (!name) return nullptr;
  std::string trouble = "there is none here";
  try {
    if (auto runner = make_named(families, *name, make)) return runner;
  } catch (const RunnerRefused& error) {
    trouble = error.what();
  }
  const std::string text = join_text(table.source, ": '", key, "' is to run on '", *name, "': ", trouble);
  ITO_USER_CHECK(!table.binding, text, "; make a table on this machine");
  warn(text, "; taking what ", device_name(), " has");
  return nullptr;
}

}  // namespace ito
