// SPDX-License-Identifier: Apache-2.0
// A network in closed form as an op. Saves the sample and what it is asked at.
#include "kernels/diffusion/toy.h"

#include "engine/ops/ops.h"

namespace ito {
namespace {

class ToyOp : public Op {
 public:
  ToyOp(ToyForm form, int n, int64_t size) : form_(form), n_(n), size_(size) {}
  const char* kind() const override { return "toy"; }
  void forward(Stream& stream, const OpData& data) override {
    toy_forward(stream, data.out(0), data.in(0), data.in(1).as<float>(), form_, n_, size_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0))
      toy_backward(stream, dx, data.din_write(0), data.dout(0), data.in(0), data.in(1).as<float>(), form_, n_, size_);
  }

 private:
  ToyForm form_;
  int n_;
  int64_t size_;
};

}  // namespace

Value toy(Program& program, const std::string& name, Value sample, Value at, ToyForm form) {
  const ValueInfo in = program.info(sample), where = program.info(at);
  ITO_CHECK(where.n == in.n && where.c == (asks_level(form) ? kLevelWidth : 1), name, ": asked at ", where.c,
            " numbers of ", where.n, " images");
  return program.add(std::make_unique<ToyOp>(form, in.n, in.row()), {name, {sample, at}, in, {sample, at}});
}

}  // namespace ito
