// SPDX-License-Identifier: Apache-2.0
// Choosing an engine on the card, and the plans made from the choice.
#include "kernels/seams/cuda/conv_plans.h"

#include "kernels/seams/cuda/conv_trial.h"

namespace ito::cuda {
namespace {

std::shared_ptr<DirectionPlans> choose(Session& session, const ConvKey& key) {
  const bool weight = key.direction == Direction::Weight;
  std::string refusal = "no engine was proposed of which it is known that it cuts no sum";
  try {
    for (EngineChoice& choice : conv_candidates(session.target(), key, weight ? images_per_chunk() : canonical_n())) {
      try {
        std::optional<WorkspaceLine> line;
        if (!weight) line = workspace_line(session.target(), key, choice);
        std::string trouble =
            weight || line ? try_engine(session, key, choice) : "its workspace may hold parts of sums";
        if (trouble.empty()) return std::make_shared<DirectionPlans>(session, key, std::move(choice), line);
        refusal = choice.name() + ": " + trouble;
      } catch (const CudnnError& error) {
        refusal = error.what();
      }
    }
  } catch (const CudnnError& error) {
    refusal = error.what();
  }
  warn("the ", key.text(), " runs on the portable kernel, which uses no tensor cores (", refusal, ")");
  return nullptr;
}

}  // namespace

const Plan& DirectionPlans::plan(const std::string& layer, int n) {
  const auto found = plans_.find(n);
  if (found != plans_.end()) return found->second;
  const AllowCallsInCapture allow;
  constexpr const char* kAdvice = "; use another batch, or ITO_PORTABLE_KERNELS=1";
  try {
    Plan made(session_.target(), conv_graph(session_.target(), key_, n), choice_);
    ITO_CHECK(!line_ || line_->holds(n, made.workspace()), "conv ", layer, ": ", name_of(key_.direction), " of ", n,
              " images: the workspace of ", choice_.name(), " is ", made.workspace(),
              " bytes, which may hold parts of sums, so an image's bits would know their batch", kAdvice);
    return plans_.emplace(n, std::move(made)).first->second;
  } catch (const CudnnError& error) {
    fail("conv ", layer, ": ", name_of(key_.direction), " of ", n, " images: ", error.what(), kAdvice);
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
    fail("conv ", layer, ": ", name_of(key_.direction), " of ", n, " images: ", error.what());
  }
  check_launched(stream, name_of(key_.direction));
}

std::shared_ptr<DirectionPlans> direction_plans(const ConvKey& key) {
  Session* const on = session();
  if (!on) return nullptr;
  // Never destroyed: at exit the driver may be gone before it.
  static auto& chosen = *new std::map<std::string, std::shared_ptr<DirectionPlans>>;
  const std::lock_guard lock(on->mutex);
  const auto [at, is_new] = chosen.try_emplace(key.text());
  if (is_new) {
    try {
      at->second = choose(*on, key);
    } catch (...) {
      chosen.erase(at);
      throw;
    }
  }
  return at->second;
}

}  // namespace ito::cuda
