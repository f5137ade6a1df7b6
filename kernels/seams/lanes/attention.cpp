// SPDX-License-Identifier: Apache-2.0
// The attention seam of sim and of a GPU: each pass by the runner that its shape takes, found once a shape.
#include <map>
#include <mutex>
#include <tuple>

#include "kernels/seams/lanes/attention_runner.h"
#include "kernels/seams/lanes/choose.h"

namespace ito {
namespace {

AttentionTask task_of(AttentionPass pass, const AttentionShape& s, DType type) {
  return {pass, s.tokens, s.heads, s.head_dim, type};
}

using Key = std::tuple<AttentionPass, int, int, int, DType>;
Key key_of(const AttentionTask& t) {
  return {t.pass, t.tokens, t.heads, t.head_dim, t.type};
}

struct Choices {
  std::mutex mutex;
  std::map<Key, std::string> by_rule;
  std::map<std::pair<Key, std::string>, std::unique_ptr<AttentionRunner>> runners;
};
Choices& choices() {
  static auto& all = *new Choices;  // never destroyed: at exit the driver may be gone before it
  return all;
}

AttentionRunner& runner_for(const AttentionTask& task) {
  Choices& all = choices();
  const std::lock_guard lock(all.mutex);
  const auto families = attention_families();
  const auto make = [&](const AttentionFamily& family, const std::string& name) { return family.make(task, name); };
  const KernelTable& table = kernel_table();
  const std::string key = table.choices.empty() ? std::string() : text_of(task);
  if (const std::string* name = table.choice(key)) {
    std::unique_ptr<AttentionRunner>& runner = all.runners[{key_of(task), *name}];
    if (!runner && (table.binding || !all.by_rule.contains(key_of(task))))
      runner = make_from_table(families, key, make);
    if (runner) return *runner;
  }
  auto at = all.by_rule.find(key_of(task));
  if (at == all.by_rule.end()) {
    const auto try_one = [&](AttentionRunner& runner) { return try_attention(task, runner); };
    at = all.by_rule.emplace(key_of(task), first_that_passes(families, task, make, try_one)).first;
  }
  std::unique_ptr<AttentionRunner>& runner = all.runners[{key_of(task), at->second}];
  if (!runner) runner = make_named(families, at->second, make);
  return *runner;
}

}  // namespace

size_t attention_forward_workspace(const AttentionShape& shape, DType type) {
  return runner_for(task_of(AttentionPass::Forward, shape, type)).workspace(shape);
}

size_t attention_backward_workspace(const AttentionShape& shape, DType type) {
  return runner_for(task_of(AttentionPass::Backward, shape, type)).workspace(shape);
}

void attention_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                       const AttentionShape& shape, void* workspace) {
  AttentionCall call{.out = out, .q = q, .k = k, .v = v};
  call.lse = lse;
  call.shape = shape;
  call.workspace = workspace;
  runner_for(task_of(AttentionPass::Forward, shape, out.type)).run(stream, call);
}

void attention_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout, ConstDataRef out,
                        const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v, const AttentionShape& shape,
                        void* workspace) {
  AttentionCall call{.dq = dq, .dk = dk, .dv = dv, .q = q, .k = k, .v = v, .dout = dout};
  call.out = DataRef(const_cast<void*>(out.data), out.type);
  call.lse = const_cast<float*>(lse);
  call.shape = shape;
  call.workspace = workspace;
  runner_for(task_of(AttentionPass::Backward, shape, dout.type)).run(stream, call);
}

KernelChoices attention_choices(const AttentionShape& shape, DType type, bool backward) {
  KernelChoices made;
  for (const AttentionPass pass : {AttentionPass::Forward, AttentionPass::Backward}) {
    if (pass == AttentionPass::Backward && !backward) continue;
    const AttentionTask task = task_of(pass, shape, type);
    made.emplace(text_of(task), runner_for(task).name());
  }
  return made;
}

std::vector<KernelTiming> time_attention_choices(const AttentionShape& shape, DType type, bool backward) {
  std::vector<KernelTiming> all;
  for (const AttentionPass pass : {AttentionPass::Forward, AttentionPass::Backward}) {
    if (pass == AttentionPass::Backward && !backward) continue;
    const AttentionTask task = task_of(pass, shape, type);
    const auto make = [&](const AttentionFamily& family, const std::string& name) { return family.make(task, name); };
    const auto try_one = [&](AttentionRunner& runner) { return try_attention(task, runner); };
    for_proposals(attention_families(), task, make, try_one,
                  [&](const AttentionFamily& family, const Proposal& proposal) {
                    KernelTiming timing{text_of(task), proposal.name, proposal.trouble};
                    if (timing.trouble.empty())
                      timing.seconds = time_attention(task, *make(family, proposal.name), shape.n);
                    all.push_back(std::move(timing));
                    return false;
                  });
  }
  return all;
}

}  // namespace ito
