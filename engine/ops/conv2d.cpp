// SPDX-License-Identifier: Apache-2.0
// y = scale * (conv(x) + bias + residual). Saves x for the weight gradient.
#include <algorithm>
#include <optional>

#include "engine/ops/ops.h"
#include "kernels/nn/pointwise.h"
#include "kernels/seams/conv.h"

namespace ito {
namespace {

class Conv2dOp : public Op {
 public:
  Conv2dOp(const ConvShape& shape, DType type, int n, float scale, bool bias)
      : shape_(shape), type_(type), n_(n), scale_(scale), bias_(bias) {}

  const char* kind() const override { return "conv2d"; }
  void prepare(const WantedGradients& wanted) override {
    layer_.emplace(name.c_str(), shape_, type_, ConvGradients{wanted.inputs.at(0), wanted.parameters});
  }
  std::string describe() const override { return layer_ ? layer_->implementations() : ""; }
  KernelChoices choices() const override { return layer_ ? layer_->choices() : KernelChoices(); }
  std::vector<KernelTiming> time_choices() const override { return layer_->time_choices(n_); }
  bool reads_bf16_weights() const override { return layer_->takes_rounded_masters(); }
  size_t packed_bytes() const override { return reads_bf16_weights() ? 0 : layer_->packed_bytes(); }
  int moment_rows() const override { return layer_->moment_rows(); }
  int norm_rows() const override { return layer_->norm_rows(); }
  size_t forward_workspace() const override { return layer_->forward_workspace(n_); }
  size_t backward_workspace() const override {
    return scaled_bytes() + std::max(layer_->backward_data_workspace(n_), layer_->backward_weight_workspace(n_));
  }

  double flop(Part) const override {
    return 2.0 * static_cast<double>(output_elements()) * shape_.r * shape_.s * shape_.c;
  }

  void pack(Stream& stream, const OpData& data) override {
    if (reads_bf16_weights()) return layer_->bind(const_cast<bf16*>(data.bf16_parameter(0)));
    layer_->bind(data.packed());
    layer_->pack(stream, data.parameter(0));
  }

  void forward(Stream& stream, const OpData& data) override {
    ConvEpilogue epilogue;
    if (bias_) epilogue.bias = data.parameter(1);
    epilogue.scale = scale_;
    if (inputs.size() > 1) epilogue.residual = data.in(1);
    epilogue.moments = data.moments_out();
    layer_->forward(stream, data.out(0), data.in(0), epilogue, n_, data.workspace());
  }

  void backward(Stream& stream, const OpData& data) override {
    ConstDataRef dsum = data.dout(0);
    char* workspace = static_cast<char*>(data.workspace());
    if (scale_ != 1.0f) {
      const DataRef scaled(workspace, type_);
      accumulate(stream, scaled, Write::Set, dsum, scale_, output_elements());
      dsum = scaled;
      workspace += scaled_bytes();
    }
    if (float* dweight = data.dparameter(0))
      layer_->backward_weight(stream, dweight, bias_ ? data.dparameter(1) : nullptr, dsum, data.in(0), n_, workspace);
    if (DataRef dx = data.din(0))
      layer_->backward_data(stream, dx, data.din_write(0), dsum, n_, workspace, data.norm_before(stream));
    if (inputs.size() > 1 && !data.passes_on(1))
      if (DataRef dres = data.din(1)) accumulate(stream, dres, data.din_write(1), dsum, 1.0f, output_elements());
  }

 private:
  int64_t output_elements() const { return int64_t{1} * n_ * shape_.out_h() * shape_.out_w() * shape_.k; }
  size_t scaled_bytes() const {
    return scale_ == 1.0f ? 0 : aligned(static_cast<size_t>(output_elements()) * size_of(type_));
  }

  ConvShape shape_;
  DType type_;
  int n_;
  float scale_;
  bool bias_;
  std::optional<ConvLayer> layer_;  // tries libraries where it is made, so only once the op is to run
};

}  // namespace

Conv2dOptions pointwise_options(int k, bool linear) {
  Conv2dOptions options;
  options.k = k;
  options.r = options.s = 1;
  options.pad_top = options.pad_left = options.pad_bottom = options.pad_right = 0;
  options.linear = linear;
  return options;
}

Value conv2d(Program& program, const std::string& name, Value x, const Conv2dOptions& options) {
  const ValueInfo in = program.info(x);
  ConvShape shape;
  shape.h = in.h;
  shape.w = in.w;
  shape.c = in.c;
  shape.k = options.k;
  shape.r = options.r;
  shape.s = options.s;
  shape.stride = options.stride;
  shape.pad_top = options.pad_top;
  shape.pad_left = options.pad_left;
  shape.pad_bottom = options.pad_bottom;
  shape.pad_right = options.pad_right;
  const DType type = program.options().compute;
  const int64_t fan_in = int64_t{1} * shape.r * shape.s * shape.c;
  std::vector<int64_t> weight_shape{shape.k, shape.c};
  if (!options.linear) weight_shape = {shape.k, shape.c, shape.r, shape.s};

  OpSpec spec{name, {x}, {in.n, shape.out_h(), shape.out_w(), shape.k, type}};
  if (options.residual) spec.inputs.push_back(options.residual);
  if (options.residual && options.scale == 1.0f) spec.passed_on = {1};
  if (program.options().mode == Mode::Training) spec.saved = {x};
  spec.parameters = {{name + ".weight", options.linear ? ParameterKind::Linear : ParameterKind::Convolution,
                      weight_shape, options.start.initial, fan_in, options.start.scale}};
  if (options.bias)
    spec.parameters.push_back({name + ".bias", ParameterKind::Vector, {shape.k}, options.start.of_bias(), fan_in});
  return program.add(std::make_unique<Conv2dOp>(shape, type, in.n, options.scale, options.bias), std::move(spec));
}

}  // namespace ito
