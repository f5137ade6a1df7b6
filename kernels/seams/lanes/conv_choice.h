// SPDX-License-Identifier: Apache-2.0
// Which runner a direction of a layer takes.
#pragma once
#include "kernels/seams/lanes/conv_runner.h"

namespace ito {

// The kernel table's choice, as it stands there and untried; without one the first proposal of the device's families
// that passes. A task is chosen for once in a process. Throws UserError where the table names what there is not.
std::unique_ptr<ConvRunner> choose_conv(const std::string& layer, const ConvTask& task);

// A proposal, and why a layer may not depend on it; "" where it may.
struct ConvProposal {
  std::string name, trouble;
};
// All proposals of all families, each tried, for whoever makes a table.
std::vector<ConvProposal> conv_proposals(const ConvTask& task);
std::unique_ptr<ConvRunner> make_conv(const std::string& layer, const ConvTask& task, const std::string& name);

}  // namespace ito
