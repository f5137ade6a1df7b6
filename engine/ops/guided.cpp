// SPDX-License-Identifier: Apache-2.0
// What guidance adds to a network's ops: labels that say no class, and the join of two answers. The weight and its
// interval are constants in device memory, packed as the mixture's tables are. The join saves the time alone.
#include "engine/ops/ops.h"
#include "kernels/diffusion/class_labels.h"

namespace ito {
namespace {

class ConstantLabelsOp : public Op {
 public:
  ConstantLabelsOp(int n, int32_t label) : n_(n), label_(label) {}
  const char* kind() const override { return "constant labels"; }
  void forward(Stream& stream, const OpData& data) override {
    set_labels(stream, data.out(0).as<int32_t>(), label_, n_);
  }
  void backward(Stream&, const OpData&) override {}  // labels are never differentiated

 private:
  int n_;
  int32_t label_;
};

class GuidedOp : public Op {
 public:
  GuidedOp(const GuidedShape& shape, const GuidanceWeight& weight) : shape_(shape), weight_(weight) {}
  const char* kind() const override { return "guided answer"; }
  size_t packed_bytes() const override { return sizeof(weight_); }
  void pack(Stream& stream, const OpData& data) override {
    copy_to_device(stream, data.packed(), &weight_, sizeof(weight_));
  }
  void forward(Stream& stream, const OpData& data) override {
    guided_answer(stream, data.out(0), data.in(0), data.in(1), data.in(2).as<float>(), weight(data), shape_);
  }
  void backward(Stream& stream, const OpData& data) override {
    const DataRef main = data.din(0), other = data.din(1);
    guided_answer_backward(stream, main, main ? data.din_write(0) : Write::Set, other,
                           other ? data.din_write(1) : Write::Set, data.dout(0), data.in(2).as<float>(), weight(data),
                           shape_);
  }

 private:
  static const GuidanceWeight* weight(const OpData& data) { return static_cast<const GuidanceWeight*>(data.packed()); }

  GuidedShape shape_;
  GuidanceWeight weight_;
};

}  // namespace

Value constant_labels(Program& program, const std::string& name, Value labels, int32_t label) {
  const ValueInfo in = program.info(labels);
  ITO_CHECK(in.type == DType::I32, name, ": class numbers expected, got ", in.name);
  return program.add(std::make_unique<ConstantLabelsOp>(in.n, label), {name, {labels}, in});
}

Value guided_answer(Program& program, const std::string& name, Value main, Value other, Value timestep, int channels,
                    const GuidanceWeight& weight) {
  const ValueInfo a = program.info(main), b = program.info(other);
  ITO_CHECK(a.n == b.n && a.h == b.h && a.w == b.w && a.type == b.type && program.info(timestep).n == a.n, name,
            ": answers of ", a.n, " x ", a.h, " x ", a.w, " and ", b.n, " x ", b.h, " x ", b.w);
  const GuidedShape shape{
      .n = a.n, .pixels = int64_t{1} * a.h * a.w, .channels = channels, .main_channels = a.c, .other_channels = b.c};
  return program.add(std::make_unique<GuidedOp>(shape, weight), {name, {main, other, timestep}, a, {timestep}});
}

}  // namespace ito
