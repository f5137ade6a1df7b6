// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention over pixels. Saves q, k, v, the output and the log-sum-exp.
#include <algorithm>
#include <cmath>

#include "engine/ops/ops.h"
#include "kernels/seams/attention.h"

namespace ito {
namespace {

class AttentionOp : public Op {
 public:
  AttentionOp(const AttentionShape& shape, DType type) : shape_(shape), type_(type) {}

  const char* kind() const override { return "attention"; }
  void prepare(const WantedGradients& wanted) override {
    backward_ = std::find(wanted.inputs.begin(), wanted.inputs.end(), true) != wanted.inputs.end();
  }
  KernelChoices choices() const override { return attention_choices(shape_, type_, backward_); }
  std::vector<KernelTiming> time_choices() const override { return time_attention_choices(shape_, type_, backward_); }
  std::string describe() const override {
    std::string text;
    for (const auto& [key, name] : choices()) {  // key: "attention forward, ..."
      if (!text.empty()) text += ' ';
      text.append(key, 10, key.find(',') - 10).append("=").append(name);
    }
    return text;
  }
  // Two products forward; backward the scores once more and a product for each of dP, dQ, dK and dV.
  double flop(Part part) const override {
    const double product = 2.0 * shape_.n * shape_.heads * shape_.tokens * shape_.tokens * shape_.head_dim;
    return part == Part::Forward ? 2 * product : part == Part::Data ? 5 * product : 0;
  }
  size_t forward_workspace() const override { return attention_forward_workspace(shape_, type_); }
  size_t backward_workspace() const override { return attention_backward_workspace(shape_, type_); }

  void forward(Stream& stream, const OpData& data) override {
    attention_forward(stream, data.out(0), data.out(1).as<float>(), data.in(0), data.in(1), data.in(2), shape_,
                      data.workspace());
  }

  void backward(Stream& stream, const OpData& data) override {
    attention_backward(stream, data.settable_din(0), data.settable_din(1), data.settable_din(2), data.dout(0),
                       data.out(0), data.out(1).as<float>(), data.in(0), data.in(1), data.in(2), shape_,
                       data.workspace());
  }

 private:
  AttentionShape shape_;
  DType type_;
  bool backward_ = false;
};

}  // namespace

Value attention(Program& program, const std::string& name, Value q, Value k, Value v, int heads) {
  const ValueInfo in = program.info(q);
  ITO_USER_CHECK(heads > 0 && in.c % heads == 0, name, ": ", in.c, " channels do not divide into ", heads,
                 " heads; change attention_head_dim");
  AttentionShape shape;
  shape.n = in.n;
  shape.tokens = in.h * in.w;
  shape.heads = heads;
  shape.head_dim = in.c / heads;
  shape.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  OpSpec spec{name, {q, k, v}, in, {q, k, v}};
  spec.saves_result = true;
  spec.statistics = {{" lse", {in.n, 1, heads, shape.tokens, DType::F32}}};
  spec.set_only = {0, 1, 2};
  return program.add(std::make_unique<AttentionOp>(shape, in.type), std::move(spec));
}

}  // namespace ito
