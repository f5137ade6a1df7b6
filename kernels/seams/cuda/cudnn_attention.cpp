// SPDX-License-Identifier: Apache-2.0
// See cudnn_attention.h. It proposes itself where it is asked for by hand, because no run on a card has yet shown its
// bits and speed.
#include "kernels/seams/cuda/cudnn_attention.h"

#include <cstdlib>
#include <cstring>
#include <map>

#include "kernels/seams/cuda/attention_choice.h"
#include "kernels/seams/cuda/session.h"
#include "kernels/seams/ranges.h"

namespace ito::cuda {
namespace {

bool asked_for() {
  static const bool asked = [] {
    const char* value = getenv("ITO_CUDNN_ATTENTION");
    return value && strcmp(value, "1") == 0;
  }();
  return asked;
}

class CudnnAttention : public AttentionRunner {
 public:
  CudnnAttention(Session& session, const AttentionTask& task, EngineChoice choice)
      : session_(session), task_(task), choice_(std::move(choice)) {}
  std::string name() const override { return choice_.name(); }
  // Plans for the shape, which is host work; the seam gives a forward no workspace of cuDNN's.
  size_t workspace(const AttentionShape& shape) override {
    const std::lock_guard lock(session_.mutex);
    plan(shape);
    return 0;
  }
  void run(Stream& stream, const AttentionCall& c) override {
    const std::lock_guard lock(session_.mutex);
    const Plan& planned = plan(c.shape);
    float scale = c.shape.scale;
    const Range range("attention_forward");
    planned.execute(session_.handle, native_stream(stream),
                    {{kQuery, const_cast<void*>(c.q.data)},
                     {kKey, const_cast<void*>(c.k.data)},
                     {kValue, const_cast<void*>(c.v.data)},
                     {kOut, c.out.data},
                     {kStatistics, c.lse},
                     {kScale, &scale}},
                    nullptr);
  }

 private:
  const Plan& plan(const AttentionShape& shape) {  // with the session's mutex held
    const auto found = plans_.find(shape.n);
    if (found != plans_.end()) return found->second;
    const AllowCallsInCapture allow;
    Plan made(session_.target(), attention_graph(session_.target(), shape), choice_);
    if (made.workspace() != 0)
      fail<RunnerRefused>("attention: cuDNN wants a workspace of ", made.workspace(), " bytes for ", shape.n,
                          " images; run without ITO_CUDNN_ATTENTION=1");
    return plans_.emplace(shape.n, std::move(made)).first->second;
  }

  Session& session_;
  AttentionTask task_;
  EngineChoice choice_;
  std::map<int, Plan> plans_;
};

std::vector<std::string> proposals(const AttentionTask& task) {
  if (!asked_for() || task.pass != AttentionPass::Forward) return {};
  const AttentionShape shape = shape_of(task, 3);
  if (!library_attention_takes(shape, task.type)) return {};
  Session* const on = session();
  if (!on) return {};
  const std::lock_guard lock(on->mutex);
  std::vector<std::string> names;
  for (const EngineChoice& choice : attention_candidates(on->target(), shape)) names.push_back(choice.name());
  return names;
}

std::unique_ptr<AttentionRunner> make(const AttentionTask& task, const std::string& name) {
  Session* const on = task.pass == AttentionPass::Forward ? session() : nullptr;
  const std::optional<EngineChoice> choice = engine_named(name);
  if (!on || !choice || !library_attention_takes(shape_of(task, 1), task.type)) return nullptr;
  return std::make_unique<CudnnAttention>(*on, task, *choice);
}

}  // namespace

const AttentionFamily kCudnnAttention{.name = "cudnn", .tried = true, .proposals = proposals, .make = make};

}  // namespace ito::cuda
