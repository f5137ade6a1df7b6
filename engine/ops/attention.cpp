// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention over pixels. Saves q, k, v, the output and the log-sum-exp.
#include <cmath>

#include "engine/ops/ops.h"
#include "kernels/nn/pointwise.h"
#include "kernels/seams/attention.h"

namespace ito {
namespace {

class AttentionOp : public Op {
 public:
  AttentionOp(const AttentionShape& shape, DType type) : shape_(shape), type_(type) {}

  const char* kind() const override { return "attention"; }
  size_t backward_workspace() const override { return 3 * tensor_bytes() + attention_backward_workspace(shape_); }

  void forward(Stream& stream, const OpData& data) override {
    attention_forward(stream, data.out(0), data.out(1).as<float>(), data.in(0), data.in(1), data.in(2), shape_);
  }

  void backward(Stream& stream, const OpData& data) override {
    char* workspace = static_cast<char*>(data.workspace());
    DataRef gradient[3];
    for (int i = 0; i < 3; ++i) {
      gradient[i] = data.din(i);
      if (!gradient[i] || data.din_write(i) == Write::Add) gradient[i] = DataRef(workspace + i * tensor_bytes(), type_);
    }
    attention_backward(stream, gradient[0], gradient[1], gradient[2], data.dout(0), data.out(0),
                       static_cast<const float*>(data.out(1).data), data.in(0), data.in(1), data.in(2), shape_,
                       workspace + 3 * tensor_bytes());
    for (int i = 0; i < 3; ++i) {
      const DataRef wanted = data.din(i);
      if (wanted && data.din_write(i) == Write::Add)
        accumulate(stream, wanted, Write::Add, gradient[i], 1.0f, elements());
    }
  }

 private:
  int64_t elements() const { return int64_t{1} * shape_.n * shape_.tokens * shape_.heads * shape_.head_dim; }
  size_t tensor_bytes() const { return (static_cast<size_t>(elements()) * size_of(type_) + 255) / 256 * 256; }

  AttentionShape shape_;
  DType type_;
};

}  // namespace

Value attention(Program& program, const std::string& name, Value q, Value k, Value v, int heads) {
  const ValueInfo in = program.info(q);
  ITO_USER_CHECK(heads > 0 && in.c % heads == 0, name, ": ", in.c, " channels do not divide into ", heads,
                 " heads; change attention_head_dim");
  AttentionShape shape;
  shape.n = program.options().n;
  shape.tokens = in.h * in.w;
  shape.heads = heads;
  shape.head_dim = in.c / heads;
  shape.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  auto op = std::make_unique<AttentionOp>(shape, in.type);
  op->name = name;
  op->inputs = {q, k, v};
  const Value out = program.add_value(name, in.h, in.w, in.c, in.type);
  const Value lse = program.add_value(name + " lse", 1, heads, shape.tokens, DType::F32);
  op->outputs = {out, lse};
  op->saved = {q, k, v, out, lse};
  program.add_op(std::move(op));
  return out;
}

}  // namespace ito
