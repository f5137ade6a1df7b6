// SPDX-License-Identifier: Apache-2.0
// See tensor_attention.h.
#include "kernels/seams/lanes/tensor_attention.h"

#include "kernels/nn/attention_sm80.h"

namespace ito {
namespace {

bool takes(const AttentionTask& task) {
  const AttentionShape shape = shape_of(task, 1);
  return attention_sm80_takes(shape, task.type, AttentionLayout::separate(shape));
}

class Sm80Attention : public AttentionRunner {
 public:
  explicit Sm80Attention(AttentionPass pass) : pass_(pass) {}
  std::string name() const override { return kSm80Attention.name; }
  size_t workspace(const AttentionShape& shape) override {
    return pass_ == AttentionPass::Forward ? 0 : attention_sm80_workspace(shape);
  }
  void run(Stream& stream, const AttentionCall& c) override {
    const AttentionLayout layout = AttentionLayout::separate(c.shape);
    if (pass_ == AttentionPass::Forward)
      attention_sm80_forward(stream, c.out, c.lse, c.q, c.k, c.v, c.shape, layout);
    else
      attention_sm80_backward(stream, c.dq, c.dk, c.dv, c.dout, c.out, c.lse, c.q, c.k, c.v, c.shape, layout,
                              c.workspace);
  }

 private:
  AttentionPass pass_;
};

}  // namespace

const AttentionFamily kSm80Attention{
    .name = "sm80",
    .tried = true,
    .proposals = [](const AttentionTask& task) -> std::vector<std::string> {
      if (!takes(task)) return {};
      return {"sm80"};
    },
    .make = [](const AttentionTask& task, const std::string& name) -> std::unique_ptr<AttentionRunner> {
      return takes(task) && name == "sm80" ? std::make_unique<Sm80Attention>(task.pass) : nullptr;
    }};

}  // namespace ito
