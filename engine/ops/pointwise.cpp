// SPDX-License-Identifier: Apache-2.0
// Elementwise ops: add, affine, SiLU, division by t.
#include "kernels/nn/pointwise.h"

#include "engine/ops/ops.h"

namespace ito {
namespace {

class AddOp : public Op {
 public:
  AddOp(int64_t count, float scale) : count_(count), scale_(scale) {}
  const char* kind() const override { return "add"; }
  void forward(Stream& stream, const OpData& data) override {
    add_scaled(stream, data.out(0), data.in(0), data.in(1), scale_, count_);
  }
  void backward(Stream& stream, const OpData& data) override {
    for (int i = 0; i < 2; ++i)
      if (DataRef dx = data.din(i)) accumulate(stream, dx, data.din_write(i), data.dout(0), scale_, count_);
  }

 private:
  int64_t count_;
  float scale_;
};

class AffineOp : public Op {
 public:
  AffineOp(int64_t count, float a, float b) : count_(count), a_(a), b_(b) {}
  const char* kind() const override { return "affine"; }
  void forward(Stream& stream, const OpData& data) override {
    ito::affine(stream, data.out(0), data.in(0), a_, b_, count_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0)) accumulate(stream, dx, data.din_write(0), data.dout(0), a_, count_);
  }

 private:
  int64_t count_;
  float a_, b_;
};

class SiluOp : public Op {
 public:
  explicit SiluOp(int64_t count) : count_(count) {}
  const char* kind() const override { return "silu"; }
  void forward(Stream& stream, const OpData& data) override { silu_forward(stream, data.out(0), data.in(0), count_); }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0)) silu_backward(stream, dx, data.din_write(0), data.dout(0), data.in(0), count_);
  }

 private:
  int64_t count_;
};

class DivideRowsOp : public Op {
 public:
  DivideRowsOp(int n, int64_t row) : n_(n), row_(row) {}
  const char* kind() const override { return "divide_rows"; }
  void forward(Stream& stream, const OpData& data) override {
    ito::divide_rows(stream, data.out(0), Write::Set, data.in(0), data.in(1).as<float>(), n_, row_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0))
      ito::divide_rows(stream, dx, data.din_write(0), data.dout(0), data.in(1).as<float>(), n_, row_);
  }

 private:
  int n_;
  int64_t row_;
};

Value append(Program& program, std::unique_ptr<Op> op, const std::string& name, std::vector<Value> inputs,
             std::vector<Value> saved) {
  const ValueInfo in = program.info(inputs[0]);
  op->name = name;
  op->inputs = std::move(inputs);
  op->saved = std::move(saved);
  const Value y = program.add_value(name, in.h, in.w, in.c, in.type);
  op->outputs = {y};
  program.add_op(std::move(op));
  return y;
}

int64_t elements(const Program& program, Value x) {
  return program.options().n * program.info(x).row();
}

}  // namespace

Value add(Program& program, const std::string& name, Value a, Value b, float scale) {
  ITO_CHECK(program.info(a).row() == program.info(b).row(), name, ": adding ", program.info(a).name, " and ",
            program.info(b).name, " of other sizes");
  return append(program, std::make_unique<AddOp>(elements(program, a), scale), name, {a, b}, {});
}

Value affine(Program& program, const std::string& name, Value x, float a, float b) {
  return append(program, std::make_unique<AffineOp>(elements(program, x), a, b), name, {x}, {});
}

Value silu(Program& program, const std::string& name, Value x) {
  return append(program, std::make_unique<SiluOp>(elements(program, x)), name, {x}, {x});
}

Value divide_rows(Program& program, const std::string& name, Value x, Value t) {
  return append(program, std::make_unique<DivideRowsOp>(program.options().n, program.info(x).row()), name, {x, t}, {t});
}

}  // namespace ito
