// SPDX-License-Identifier: Apache-2.0
// An engine of a layer's direction, and its plan for each N. Layers of one shape share one.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/seams/cuda/conv_choice.h"
#include "kernels/seams/cuda/session.h"

namespace ito::cuda {

class DirectionPlans {
 public:
  DirectionPlans(Session& session, const ConvKey& key, EngineChoice choice, std::optional<WorkspaceLine> line)
      : session_(session), key_(key), choice_(std::move(choice)), line_(line) {}
  std::string name() const { return choice_.name(); }
  // Plans for n images where there is no plan yet: host work, best done before a capture. Throws Error, naming the
  // layer, if the engine refuses this n (a CudnnError), or wants a workspace for it that may hold parts of sums:
  // another engine could give an image other bits.
  size_t workspace(const std::string& layer, int n);
  // x, filters and y, one of which is written.
  void run(const std::string& layer, Stream& stream, int n, const void* x, const void* filters, const void* y,
           void* workspace);

 private:
  const Plan& plan(const std::string& layer, int n);  // with the session's mutex held

  Session& session_;
  ConvKey key_;
  EngineChoice choice_;
  std::optional<WorkspaceLine> line_;  // forward and data gradient: where every workspace must lie
  std::map<int, Plan> plans_;
};

// The engines that cuDNN proposes and of which it is known that they cut no sum, best first; none without cuDNN. Throws
// CudnnError.
std::vector<std::string> engine_names(const ConvKey& key);

// The engine of this name (EngineChoice::name), planned for many N (workspace_line); null without cuDNN or where the
// name is none. Throws CudnnError where it cannot be planned or its workspace may hold parts of sums.
std::shared_ptr<DirectionPlans> direction_plans(const ConvKey& key, const std::string& name);

}  // namespace ito::cuda
