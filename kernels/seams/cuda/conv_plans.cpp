// SPDX-License-Identifier: Apache-2.0
// See conv_plans.h.
#include "kernels/seams/cuda/conv_plans.h"

namespace ito::cuda {

const Plan& DirectionPlans::plan(const std::string& layer, int n) {
  const auto found = plans_.find(n);
  if (found != plans_.end()) return found->second;
  const AllowCallsInCapture allow;
  constexpr const char* kAdvice = "; use another batch, or ITO_PORTABLE_KERNELS=1";
  try {
    Plan made(session_.target(), conv_graph(session_.target(), key_, n), choice_);
    if (line_ && !line_->holds(n, made.workspace()))
      fail<RunnerRefused>("conv ", layer, ": ", name_of(key_.direction), " of ", n, " images: the workspace of ",
                          choice_.name(), " is ", made.workspace(),
                          " bytes, which may hold parts of sums, so an image's bits would know their batch", kAdvice);
    return plans_.emplace(n, std::move(made)).first->second;
  } catch (const CudnnError& error) {
    fail<RunnerRefused>("conv ", layer, ": ", name_of(key_.direction), " of ", n, " images: ", error.what(), kAdvice);
  }
}

size_t DirectionPlans::workspace(const std::string& layer, int n) {
  const std::lock_guard lock(session_.mutex);
  return plan(layer, n).workspace();
}

// A plan relies on it, and a GPU faults without it.
static void check_alignment(const std::string& layer, const char* what, const void* pointer, int64_t alignment) {
  ITO_CHECK(reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(alignment) == 0, "conv ", layer, ": ", what,
            " at ", pointer, ", expected a multiple of ", alignment, " bytes");
}

void DirectionPlans::run(const std::string& layer, Stream& stream, int n, const void* x, const void* filters,
                         const void* y, void* workspace) {
  const std::lock_guard lock(session_.mutex);
  const Plan& planned = plan(layer, n);
  ITO_CHECK(workspace || planned.workspace() == 0, "conv ", layer, ": ", name_of(key_.direction), " of ", n,
            " images needs a workspace of ", planned.workspace(), " bytes, got none");
  const ConvShape& s = key_.shape;
  check_alignment(layer, "x", x, alignment_of(int64_t{1} * s.h * s.w * s.c, key_.type));
  check_alignment(layer, "y", y, alignment_of(int64_t{1} * s.out_h() * s.out_w() * s.k, key_.type));
  check_alignment(layer, "filters", filters, filters_alignment(key_));
  try {
    planned.execute(session_.handle, native_stream(stream),
                    {{kX, const_cast<void*>(x)}, {kFilters, const_cast<void*>(filters)}, {kY, const_cast<void*>(y)}},
                    workspace);
  } catch (const CudnnError& error) {
    fail<RunnerRefused>("conv ", layer, ": ", name_of(key_.direction), " of ", n, " images: ", error.what());
  }
  check_launched(stream, name_of(key_.direction));
}

std::vector<std::string> engine_names(const ConvKey& key) {
  Session* const on = session();
  if (!on) return {};
  const std::lock_guard lock(on->mutex);
  const int n = key.direction == Direction::Weight ? images_per_chunk() : canonical_n();
  std::vector<std::string> names;
  for (const EngineChoice& choice : conv_candidates(on->target(), key, n)) names.push_back(choice.name());
  return names;
}

std::shared_ptr<DirectionPlans> direction_plans(const ConvKey& key, const std::string& name) {
  Session* const on = session();
  const std::optional<EngineChoice> choice = engine_named(name);
  if (!on || !choice) return nullptr;
  // Never destroyed: at exit the driver may be gone before it.
  static auto& made = *new std::map<std::pair<std::string, std::string>, std::shared_ptr<DirectionPlans>>;
  const std::lock_guard lock(on->mutex);
  std::shared_ptr<DirectionPlans>& plans = made[{key.text(), name}];
  if (plans) return plans;
  std::optional<WorkspaceLine> line;
  if (key.direction != Direction::Weight) {
    line = workspace_line(on->target(), key, *choice);
    if (!line) fail<RunnerRefused>("its workspace may hold parts of sums");
  }
  return plans = std::make_shared<DirectionPlans>(*on, key, *choice, line);
}

}  // namespace ito::cuda
