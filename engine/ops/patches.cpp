// SPDX-License-Identifier: Apache-2.0
// An image as tokens of p x p pixels, and tokens as an image. Nothing is saved.
#include "kernels/nn/patches.h"

#include "engine/ops/ops.h"

namespace ito {
namespace {

class PatchOp : public Op {
 public:
  PatchOp(const PatchShape& shape, bool to_tokens) : shape_(shape), to_tokens_(to_tokens) {}
  const char* kind() const override { return to_tokens_ ? "patchify" : "unpatchify"; }
  void forward(Stream& stream, const OpData& data) override {
    move(stream, to_tokens_, data.out(0), Write::Set, data.in(0));
  }
  void backward(Stream& stream, const OpData& data) override {
    if (DataRef dx = data.din(0)) move(stream, !to_tokens_, dx, data.din_write(0), data.dout(0));
  }

 private:
  void move(Stream& stream, bool to_tokens, DataRef to, Write write, ConstDataRef from) const {
    if (to_tokens)
      ito::patchify(stream, to, write, from, shape_);
    else
      ito::unpatchify(stream, to, write, from, shape_);
  }

  PatchShape shape_;
  bool to_tokens_;
};

}  // namespace

Value patchify(Program& program, const std::string& name, Value image, int p) {
  const ValueInfo in = program.info(image);
  ITO_USER_CHECK(p > 0 && in.h % p == 0 && in.w % p == 0, name, ": images of ", in.h, " x ", in.w,
                 " are no whole patches of ", p, " pixels a side; change the images' size or patch_size");
  const PatchShape shape{in.n, in.h, in.w, in.c, p};
  const TensorShape out{in.n, in.h / p, in.w / p, p * p * in.c, in.type};
  return program.add(std::make_unique<PatchOp>(shape, true), {name, {image}, out});
}

Value unpatchify(Program& program, const std::string& name, Value tokens, int p) {
  const ValueInfo in = program.info(tokens);
  ITO_CHECK(p > 0 && in.c % (p * p) == 0, name, ": tokens of ", in.c, " numbers are no ", p, " x ", p, " pixels");
  const PatchShape shape{in.n, in.h * p, in.w * p, in.c / (p * p), p};
  const TensorShape out{in.n, shape.h, shape.w, shape.c, in.type};
  return program.add(std::make_unique<PatchOp>(shape, false), {name, {tokens}, out});
}

}  // namespace ito
