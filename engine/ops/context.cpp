// SPDX-License-Identifier: Apache-2.0
// Tokens in front of an image's own, and their end. Nothing is saved.
#include "kernels/nn/context.h"

#include "engine/ops/ops.h"
#include "kernels/nn/pointwise.h"

namespace ito {
namespace {

class AddContextOp : public Op {
 public:
  AddContextOp(const ContextShape& shape, DType type) : shape_(shape), type_(type) {}
  const char* kind() const override { return "add_context"; }
  // The tokens' own gradient, and the table's parts by chunks of images.
  size_t backward_workspace() const override { return front_bytes() + sizeof(float) * chunks() * front(); }
  void forward(Stream& stream, const OpData& data) override {
    ito::add_context(stream, data.out(0), data.in(0), data.in(1).as<float>(), data.parameter(0), shape_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0)) take_tokens(stream, dx, data.din_write(0), data.dout(0), false, shape_);
    if (DataRef drow = data.din(1))
      add_context_backward(stream, drow.as<float>(), data.din_write(1), data.dout(0), shape_);
    float* const dtable = data.dparameter(0);
    if (!dtable) return;
    char* const workspace = static_cast<char*>(data.workspace());
    const DataRef own(workspace, type_);
    take_tokens(stream, own, Write::Set, data.dout(0), true, shape_);
    sum_rows(stream, dtable, own, reinterpret_cast<float*>(workspace + front_bytes()), shape_.n, 1,
             static_cast<int>(front()));
  }

 private:
  int64_t front() const { return int64_t{1} * shape_.before * shape_.c; }
  size_t front_bytes() const { return aligned(size_of(type_) * shape_.n * front()); }
  int64_t chunks() const { return ceil_div(shape_.n, images_per_chunk()); }

  ContextShape shape_;
  DType type_;
};

class DropContextOp : public Op {
 public:
  explicit DropContextOp(const ContextShape& shape) : shape_(shape) {}
  const char* kind() const override { return "drop_context"; }
  void forward(Stream& stream, const OpData& data) override {
    take_tokens(stream, data.out(0), Write::Set, data.in(0), false, shape_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0)) drop_context_backward(stream, dx, data.din_write(0), data.dout(0), shape_);
  }

 private:
  ContextShape shape_;
};

}  // namespace

Value add_context(Program& program, const std::string& name, Value x, Value row, int before) {
  const ValueInfo in = program.info(x), of_row = program.info(row);
  ITO_CHECK(before > 0 && of_row.n == in.n && of_row.row() == in.c && of_row.type == DType::F32, name, ": ", before,
            " tokens of ", of_row.name, " in front of tokens of ", in.c, " channels");
  const ContextShape shape{in.n, before, in.h * in.w, in.c};
  OpSpec spec{name, {x, row}, {in.n, 1, before + in.h * in.w, in.c, in.type}};
  spec.parameters = {{name, ParameterKind::Table, {before, in.c}, Initial::Normal, 1, 0.02f}};
  return program.add(std::make_unique<AddContextOp>(shape, in.type), std::move(spec));
}

Value drop_context(Program& program, const std::string& name, Value x, int h, int w) {
  const ValueInfo in = program.info(x);
  const int before = in.h * in.w - h * w;
  ITO_CHECK(h > 0 && w > 0 && before > 0, name, ": ", h, " x ", w, " tokens behind others, of ", in.h * in.w);
  const TensorShape out{in.n, h, w, in.c, in.type};
  return program.add(std::make_unique<DropContextOp>(ContextShape{in.n, before, h * w, in.c}), {name, {x}, out});
}

}  // namespace ito
