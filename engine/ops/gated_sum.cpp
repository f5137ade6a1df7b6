// SPDX-License-Identifier: Apache-2.0
// residual + gate y, the gate a slice of the image's rows. Saves y and the rows.
#include "engine/ops/image_rows.h"
#include "engine/ops/ops.h"
#include "kernels/nn/gate.h"
#include "kernels/nn/pointwise.h"

namespace ito {
namespace {

class GatedSumOp : public Op {
 public:
  GatedSumOp(const GateShape& shape, const ImageRows& rows, int at) : shape_(shape), rows_(rows), at_(at) {}

  const char* kind() const override { return "gated_sum"; }
  void forward(Stream& stream, const OpData& data) override {
    gate_forward(stream, data.out(0), data.in(0), data.in(1), gate(data), shape_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dresidual = data.din(0); dresidual && !data.passes_on(0))
      accumulate(stream, dresidual, data.din_write(0), data.dout(0), 1.0f,
                 int64_t{1} * shape_.n * shape_.rows * shape_.c);
    float* const drows = rows_.gradient(stream, data, 2);
    gate_backward(stream, data.din(1), data.din_write(1), drows ? drows + at_ : nullptr, Write::Add, data.dout(0),
                  data.in(1), gate(data), shape_);
  }

 private:
  const float* gate(const OpData& data) const { return data.in(2).as<float>() + at_; }

  GateShape shape_;
  ImageRows rows_;
  int at_;
};

}  // namespace

Value gated_sum(Program& program, const std::string& name, Value residual, Value y, Value rows, int gate_at) {
  const ValueInfo in = program.info(y);
  ITO_CHECK(in.n == program.info(residual).n && in.row() == program.info(residual).row() && gate_at >= 0, name,
            ": adding ", in.name, " to ", program.info(residual).name, " of another size");
  const ImageRows of_images = image_rows(program, name, rows, in, {gate_at});
  const GateShape shape{in.n, in.h * in.w, in.c, of_images.width};
  OpSpec spec{name, {residual, y, rows}, program.info(residual), {y, rows}};
  spec.passed_on = {0};
  return program.add(std::make_unique<GatedSumOp>(shape, of_images, gate_at), std::move(spec));
}

}  // namespace ito
