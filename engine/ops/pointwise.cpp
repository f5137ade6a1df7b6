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
      if (DataRef dx = data.din(i); dx && !data.passes_on(i))
        accumulate(stream, dx, data.din_write(i), data.dout(0), scale_, count_);
  }

 private:
  int64_t count_;
  float scale_;
};

class AffineOp : public Op {
 public:
  AffineOp(int64_t count, float a, float b) : count_(count), a_(a), b_(b) {}
  const char* kind() const override { return "affine"; }
  bool by_rows() const override { return true; }
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
  bool by_rows() const override { return true; }
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

}  // namespace

Value add(Program& program, const std::string& name, Value a, Value b, float scale) {
  const ValueInfo in = program.info(a);
  ITO_CHECK(in.n == program.info(b).n && in.row() == program.info(b).row(), name, ": adding ", in.name, " and ",
            program.info(b).name, " of other sizes");
  OpSpec spec{name, {a, b}, in};
  if (scale == 1.0f) spec.passed_on = {0, 1};
  return program.add(std::make_unique<AddOp>(in.count(), scale), std::move(spec));
}

Value affine(Program& program, const std::string& name, Value x, float a, float b) {
  const ValueInfo in = program.info(x);
  return program.add(std::make_unique<AffineOp>(in.count(), a, b), {name, {x}, in});
}

Value silu(Program& program, const std::string& name, Value x) {
  const ValueInfo in = program.info(x);
  return program.add(std::make_unique<SiluOp>(in.count()), {name, {x}, in, {x}});
}

Value divide_rows(Program& program, const std::string& name, Value x, Value t) {
  const ValueInfo in = program.info(x);
  ITO_CHECK(in.n == program.info(t).n, name, ": ", in.n, " images divided by ", program.info(t).n, " numbers");
  return program.add(std::make_unique<DivideRowsOp>(in.n, in.row()), {name, {x, t}, in, {t}});
}

}  // namespace ito
