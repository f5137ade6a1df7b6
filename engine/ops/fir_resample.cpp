// SPDX-License-Identifier: Apache-2.0
// Resampling by two through a smoothing filter: nothing is saved, either gradient is the other's forward but for a
// factor.
#include "kernels/nn/fir_resample.h"

#include "engine/ops/ops.h"

namespace ito {
namespace {

class FirResampleOp : public Op {
 public:
  FirResampleOp(const ValueInfo& in, bool up) : n_(in.n), h_(in.h), w_(in.w), c_(in.c), up_(up) {}
  const char* kind() const override { return up_ ? "fir_upsample" : "fir_downsample"; }
  void forward(Stream& stream, const OpData& data) override {
    const auto run = up_ ? static_cast<Forward*>(ito::fir_upsample) : static_cast<Forward*>(ito::fir_downsample);
    run(stream, data.out(0), data.in(0), n_, h_, w_, c_);
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0))
      (up_ ? fir_upsample_backward : fir_downsample_backward)(stream, dx, data.din_write(0), data.dout(0), n_, h_, w_,
                                                              c_);
  }

 private:
  using Forward = void(Stream&, DataRef, ConstDataRef, int, int, int, int);

  int n_, h_, w_, c_;
  bool up_;
};

}  // namespace

Value fir_upsample(Program& program, const std::string& name, Value x) {
  const ValueInfo in = program.info(x);
  return program.add(std::make_unique<FirResampleOp>(in, true), {name, {x}, {in.n, 2 * in.h, 2 * in.w, in.c, in.type}});
}

Value fir_downsample(Program& program, const std::string& name, Value x) {
  const ValueInfo in = program.info(x);
  return program.add(std::make_unique<FirResampleOp>(in, false),
                     {name, {x}, {in.n, in.h / 2, in.w / 2, in.c, in.type}});
}

}  // namespace ito
