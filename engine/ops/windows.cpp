// SPDX-License-Identifier: Apache-2.0
// Pooling over windows, for inference: a value that wants a gradient is refused when the program is built.
#include "kernels/nn/windows.h"

#include "engine/ops/ops.h"

namespace ito {
namespace {

using Pool = void (*)(Stream&, DataRef, ConstDataRef, int, const WindowShape&);

class WindowOp : public Op {
 public:
  WindowOp(const char* kind, Pool pool, int n, const WindowShape& shape)
      : kind_(kind), pool_(pool), n_(n), shape_(shape) {}
  const char* kind() const override { return kind_; }
  void forward(Stream& stream, const OpData& data) override { pool_(stream, data.out(0), data.in(0), n_, shape_); }
  void backward(Stream&, const OpData&) override {}  // never called: add_windows() refuses what would need it

 private:
  const char* kind_;
  Pool pool_;
  int n_;
  WindowShape shape_;
};

Value add_windows(Program& program, const std::string& name, Value x, const WindowOptions& options, const char* kind,
                  Pool pool) {
  const ValueInfo in = program.info(x);
  ITO_CHECK(!in.wants_gradient, name, ": ", kind, " has no gradient, which ", in.name, " wants; it is for inference");
  const WindowShape shape{in.h, in.w, in.c, options.size, options.stride, options.pad};
  return program.add(std::make_unique<WindowOp>(kind, pool, in.n, shape),
                     {name, {x}, {in.n, shape.out_h(), shape.out_w(), in.c, in.type}});
}

}  // namespace

Value window_max(Program& program, const std::string& name, Value x, const WindowOptions& options) {
  return add_windows(program, name, x, options, "window_max", ito::window_max);
}

Value window_mean(Program& program, const std::string& name, Value x, const WindowOptions& options) {
  return add_windows(program, name, x, options, "window_mean", ito::window_mean);
}

}  // namespace ito
