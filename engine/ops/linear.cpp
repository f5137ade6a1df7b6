// SPDX-License-Identifier: Apache-2.0
// Linear layer on rows (time and class embeddings), fp32. Saves x.
#include "kernels/nn/linear.h"
#include "engine/ops/ops.h"

namespace ito {
namespace {

class LinearOp : public Op {
 public:
  explicit LinearOp(const LinearShape& shape) : shape_(shape) {}

  const char* kind() const override { return "linear"; }
  bool by_rows() const override { return true; }
  double flop(Part) const override { return 2.0 * shape_.n * shape_.c * shape_.k; }

  void forward(Stream& stream, const OpData& data) override {
    linear_forward(stream, data.out(0).as<float>(), data.in(0).as<float>(), data.parameter(0), data.parameter(1),
                   shape_);
  }

  void backward(Stream& stream, const OpData& data) override {
    const float* dy = data.dout(0).as<float>();
    const float* x = data.in(0).as<float>();
    if (float* dweight = data.dparameter(0)) linear_backward_weight(stream, dweight, data.dparameter(1), dy, x, shape_);
    if (DataRef dx = data.din(0))
      linear_backward_data(stream, dx.as<float>(), data.din_write(0), dy, x, data.parameter(0), shape_);
  }

 private:
  LinearShape shape_;
};

}  // namespace

Value linear_rows(Program& program, const std::string& name, Value x, int k, bool silu_input, Start start) {
  const ValueInfo in = program.info(x);
  ITO_CHECK(in.h == 1 && in.w == 1 && in.type == DType::F32, name, ": rows expected, got ", in.name);
  LinearShape shape;
  shape.n = in.n;
  shape.c = in.c;
  shape.k = k;
  shape.silu_input = silu_input;
  OpSpec spec{name, {x}, {in.n, 1, 1, k, DType::F32}, {x}};
  spec.parameters = {{name + ".weight", ParameterKind::Linear, {k, in.c}, start.initial, in.c, start.scale},
                     {name + ".bias", ParameterKind::Vector, {k}, start.of_bias(), in.c}};
  return program.add(std::make_unique<LinearOp>(shape), std::move(spec));
}

}  // namespace ito
