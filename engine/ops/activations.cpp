// SPDX-License-Identifier: Apache-2.0
// ReLU, GELU and SwiGLU. All save x.
#include "kernels/nn/activations.h"

#include "engine/ops/ops.h"

namespace ito {
namespace {

class ReluOp : public Op {
 public:
  explicit ReluOp(int64_t count) : count_(count) {}
  const char* kind() const override { return "relu"; }
  void forward(Stream& stream, const OpData& data) override { relu_forward(stream, data.out(0), data.in(0), count_); }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0)) relu_backward(stream, dx, data.din_write(0), data.dout(0), data.in(0), count_);
  }

 private:
  int64_t count_;
};

class GeluOp : public Op {
 public:
  GeluOp(int64_t count, Gelu form) : count_(count), form_(form) {}
  const char* kind() const override { return "gelu"; }
  void forward(Stream& stream, const OpData& data) override {
    gelu_forward(stream, data.out(0), data.in(0), form_, count_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0)) gelu_backward(stream, dx, data.din_write(0), data.dout(0), data.in(0), form_, count_);
  }

 private:
  int64_t count_;
  Gelu form_;
};

class GatedSiluOp : public Op {
 public:
  explicit GatedSiluOp(const GatedSiluShape& shape) : shape_(shape) {}
  const char* kind() const override { return "gated_silu"; }
  void forward(Stream& stream, const OpData& data) override {
    gated_silu_forward(stream, data.out(0), data.in(0), shape_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0)) gated_silu_backward(stream, dx, data.din_write(0), data.dout(0), data.in(0), shape_);
  }

 private:
  GatedSiluShape shape_;
};

}  // namespace

Value relu(Program& program, const std::string& name, Value x) {
  const ValueInfo in = program.info(x);
  return program.add(std::make_unique<ReluOp>(in.count()), {name, {x}, in, {x}});
}

Value gelu(Program& program, const std::string& name, Value x, Gelu form) {
  const ValueInfo in = program.info(x);
  return program.add(std::make_unique<GeluOp>(in.count(), form), {name, {x}, in, {x}});
}

Value gated_silu(Program& program, const std::string& name, Value x, bool gate_first) {
  TensorShape out = program.info(x);
  ITO_CHECK(out.c % 2 == 0, name, ": ", out.c, " channels are no two halves");
  out.c /= 2;
  const GatedSiluShape shape{out.count() / out.c, out.c, gate_first};
  return program.add(std::make_unique<GatedSiluOp>(shape), {name, {x}, out, {x}});
}

}  // namespace ito
