// SPDX-License-Identifier: Apache-2.0
// Where a token stands: a table added to all images' tokens, and rotary embedding by a table. Nothing is saved for the
// backward. The tables are constants in memory of the op's own: weights are packed within a captured step, where
// nothing may come from the host.
#include <cmath>

#include "engine/ops/ops.h"
#include "engine/program/device_buffer.h"
#include "kernels/nn/patches.h"
#include "kernels/nn/pointwise.h"
#include "kernels/nn/rope.h"

namespace ito {
namespace {

class TableOp : public Op {
 public:
  explicit TableOp(std::vector<float> table) : table_(std::move(table)) {}
  void prepare(const WantedGradients&) override {
    on_device_ = {table_.size(), "a table of positions"};
    Stream stream("tables");
    on_device_.upload(stream, table_.data());
  }

 protected:
  const float* table() const { return on_device_.data(); }

 private:
  std::vector<float> table_;
  DeviceBuffer<float> on_device_;
};

class AddTableOp : public TableOp {
 public:
  AddTableOp(int n, int64_t row, std::vector<float> table) : TableOp(std::move(table)), n_(n), row_(row) {}
  const char* kind() const override { return "add_table"; }
  void forward(Stream& stream, const OpData& data) override {
    ito::add_table(stream, data.out(0), data.in(0), table(), n_, row_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0); dx && !data.passes_on(0))
      accumulate(stream, dx, data.din_write(0), data.dout(0), 1.0f, n_ * row_);
  }

 private:
  int n_;
  int64_t row_;
};

class RopeOp : public TableOp {
 public:
  RopeOp(const RopeShape& shape, std::vector<float> table) : TableOp(std::move(table)), shape_(shape) {}
  const char* kind() const override { return "rope"; }
  void forward(Stream& stream, const OpData& data) override {
    ito::rope(stream, data.out(0), Write::Set, data.in(0), table(), false, shape_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0)) ito::rope(stream, dx, data.din_write(0), data.dout(0), table(), true, shape_);
  }

 private:
  RopeShape shape_;
};

// frequency i of `count`: base^(-i / count).
double frequency(double base, int i, int count) {
  return std::pow(base, -static_cast<double>(i) / count);
}

}  // namespace

Value add_table(Program& program, const std::string& name, Value x, std::vector<float> table) {
  const ValueInfo in = program.info(x);
  ITO_CHECK(static_cast<int64_t>(table.size()) == in.row(), name, ": a table of ", table.size(), " numbers for ",
            in.row(), " an image");
  OpSpec spec{name, {x}, in};
  spec.passed_on = {0};
  return program.add(std::make_unique<AddTableOp>(in.n, in.row(), std::move(table)), std::move(spec));
}

Value rope(Program& program, const std::string& name, Value x, int heads, std::vector<float> table) {
  const ValueInfo in = program.info(x);
  const int tokens = in.h * in.w;
  ITO_USER_CHECK(heads > 0 && in.c % heads == 0 && in.c / heads % 2 == 0, name, ": ", in.c,
                 " channels do not divide into ", heads, " heads of an even width; change the number of heads");
  const RopeShape shape{in.n, tokens, heads, in.c / heads};
  ITO_CHECK(table.size() == static_cast<size_t>(tokens) * static_cast<size_t>(shape.head_dim), name, ": a table of ",
            table.size(), " numbers for ", tokens, " tokens and heads of ", shape.head_dim);
  return program.add(std::make_unique<RopeOp>(shape, std::move(table)), {name, {x}, in});
}

std::vector<float> sine_positions(int h, int w, int c, int base_h, int base_w) {
  ITO_USER_CHECK(c % 4 == 0, "sine positions: ", c, " channels, expected a multiple of 4");
  const int quarter = c / 4;
  std::vector<float> table;
  table.reserve(static_cast<size_t>(h) * static_cast<size_t>(w) * static_cast<size_t>(c));
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < w; ++x)
      for (const double at : {static_cast<double>(x) * base_w / w, static_cast<double>(y) * base_h / h})
        for (const bool cosine : {false, true})
          for (int i = 0; i < quarter; ++i) {
            const double angle = at * frequency(10000, i, quarter);
            table.push_back(static_cast<float>(cosine ? std::cos(angle) : std::sin(angle)));
          }
  return table;
}

std::vector<float> rope_table(int h, int w, int head_dim, int before) {
  ITO_USER_CHECK(head_dim % 4 == 0, "rotary embedding: heads of ", head_dim, ", expected a multiple of 4");
  const int quarter = head_dim / 4;
  std::vector<float> table;
  for (int i = 0; i < before * head_dim / 2; ++i) table.push_back(1.0f), table.push_back(0.0f);
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < w; ++x)
      for (const int at : {y, x})
        for (int i = 0; i < quarter; ++i) {
          const double angle = at * frequency(10000, i, quarter);
          table.push_back(static_cast<float>(std::cos(angle)));
          table.push_back(static_cast<float>(std::sin(angle)));
        }
  return table;
}

}  // namespace ito
