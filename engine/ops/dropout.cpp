// SPDX-License-Identifier: Apache-2.0
// Dropout: the backward recomputes the mask from the counter, nothing is saved. The identity outside training.
#include "kernels/nn/dropout.h"

#include "engine/ops/ops.h"

namespace ito {
namespace {

class DropoutOp : public Op {
 public:
  explicit DropoutOp(const DropoutShape& shape) : shape_(shape) {}
  const char* kind() const override { return "dropout"; }
  void forward(Stream& stream, const OpData& data) override {
    ito::dropout(stream, data.out(0), Write::Set, data.in(0), data.counter(), shape_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0)) ito::dropout(stream, dx, data.din_write(0), data.dout(0), data.counter(), shape_);
  }

 private:
  DropoutShape shape_;
};

}  // namespace

Value dropout(Program& program, const std::string& name, Value x, float p, uint32_t layer) {
  if (p == 0.0f || program.options().mode != Mode::Training) return x;
  ITO_USER_CHECK(p > 0.0f && p < 1.0f, name, ": dropout ", p, "; expected a value in [0, 1)");
  const ValueInfo in = program.info(x);
  DropoutShape shape;
  shape.n = in.n;
  shape.row = in.row();
  shape.p = p;
  shape.layer = layer;
  return program.add(std::make_unique<DropoutOp>(shape), {name, {x}, in});
}

}  // namespace ito
