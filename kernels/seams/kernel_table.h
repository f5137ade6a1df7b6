// SPDX-License-Identifier: Apache-2.0
// Which kernel each layer takes, as data: a table that was timed on a card, or the choices that a checkpoint was made
// with. Nothing is timed or tried for what stands in it. A layer that does not stand in it takes its device's fixed
// rule. Keys are texts of layers (lanes/conv_runner.h), choices names of runners.
#pragma once
#include <cstdint>
#include <map>
#include <string>

namespace ito {

using KernelChoices = std::map<std::string, std::string>;

// A kernel that a layer could take, and how long a launch of it took; `trouble` says why it may not be taken.
struct KernelTiming {
  std::string key, name, trouble;
  double seconds = 0;
};

struct KernelTable {
  std::string source;  // for errors: a file, a checkpoint
  std::string device;  // device_name() where it was made
  KernelChoices choices = {};
  bool binding = true;  // false: a layer that cannot have its choice takes the fixed rule, with a warning
  const std::string* choice(const std::string& key) const {
    const auto at = choices.find(key);
    return at == choices.end() ? nullptr : &at->second;
  }
};

// For the layers made from now on.
void use_kernel_table(KernelTable table);
const KernelTable& kernel_table();

}  // namespace ito
