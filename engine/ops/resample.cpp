// SPDX-License-Identifier: Apache-2.0
// Upsampling, pooling and channel concatenation: nothing is saved, their gradients are gathers.
#include "kernels/nn/resample.h"

#include "engine/ops/ops.h"
#include "kernels/nn/concat.h"

namespace ito {
namespace {

struct Size {
  int n, h, w, c;
};

class UpsampleOp : public Op {
 public:
  explicit UpsampleOp(const Size& size) : s_(size) {}
  const char* kind() const override { return "upsample"; }
  void forward(Stream& stream, const OpData& data) override {
    ito::upsample_nearest(stream, data.out(0), data.in(0), s_.n, s_.h, s_.w, s_.c, 2 * s_.h, 2 * s_.w);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0))
      upsample_nearest_backward(stream, dx, data.din_write(0), data.dout(0), s_.n, s_.h, s_.w, s_.c, 2 * s_.h,
                                2 * s_.w);
  }

 private:
  Size s_;
};

class AveragePoolOp : public Op {
 public:
  explicit AveragePoolOp(const Size& size) : s_(size) {}
  const char* kind() const override { return "average_pool"; }
  void forward(Stream& stream, const OpData& data) override {
    ito::average_pool(stream, data.out(0), data.in(0), s_.n, s_.h, s_.w, s_.c);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0))
      average_pool_backward(stream, dx, data.din_write(0), data.dout(0), s_.n, s_.h, s_.w, s_.c);
  }

 private:
  Size s_;
};

class ConcatOp : public Op {
 public:
  ConcatOp(int64_t rows, int ca, int cb) : rows_(rows), ca_(ca), cb_(cb) {}
  const char* kind() const override { return "concat"; }
  void forward(Stream& stream, const OpData& data) override {
    ito::concat_channels(stream, data.out(0), data.in(0), data.in(1), rows_, ca_, cb_);
  }
  void backward(Stream& stream, const OpData& data) override {
    split_channels(stream, data.din(0), data.din_write(0), data.din(1), data.din_write(1), data.dout(0), rows_, ca_,
                   cb_);
  }

 private:
  int64_t rows_;
  int ca_, cb_;
};

}  // namespace

Value concat_channels(Program& program, const std::string& name, Value a, Value b) {
  const ValueInfo ia = program.info(a), ib = program.info(b);
  ITO_CHECK(ia.n == ib.n && ia.h == ib.h && ia.w == ib.w, name, ": joining ", ia.n, " of ", ia.h, "x", ia.w, " and ",
            ib.n, " of ", ib.h, "x", ib.w);
  return program.add(std::make_unique<ConcatOp>(int64_t{1} * ia.n * ia.h * ia.w, ia.c, ib.c),
                     {name, {a, b}, {ia.n, ia.h, ia.w, ia.c + ib.c, ia.type}});
}

Value joined(Program& program, const std::string& name, const Parts& parts) {
  return parts.second ? concat_channels(program, name, parts.first, parts.second) : parts.first;
}

int channels_of(const Program& program, const Parts& parts) {
  return program.info(parts.first).c + (parts.second ? program.info(parts.second).c : 0);
}

Value upsample_nearest(Program& program, const std::string& name, Value x) {
  const ValueInfo in = program.info(x);
  return program.add(std::make_unique<UpsampleOp>(Size{in.n, in.h, in.w, in.c}),
                     {name, {x}, {in.n, 2 * in.h, 2 * in.w, in.c, in.type}});
}

Value average_pool(Program& program, const std::string& name, Value x) {
  const ValueInfo in = program.info(x);
  return program.add(std::make_unique<AveragePoolOp>(Size{in.n, in.h, in.w, in.c}),
                     {name, {x}, {in.n, in.h / 2, in.w / 2, in.c, in.type}});
}

}  // namespace ito
