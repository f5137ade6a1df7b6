// SPDX-License-Identifier: Apache-2.0
// y = scale * (conv(u) + bias + shortcut(s) + its bias): u is x or x upsampled, s one tensor or two side by side. Where
// the device has one launch for all of that (seams/conv_block.h), neither u nor the two side by side are ever made;
// apart, they are kept for the weight gradients as an op of their own would keep them.
#include <algorithm>
#include <optional>

#include "engine/ops/ops.h"
#include "kernels/nn/concat.h"
#include "kernels/nn/pointwise.h"
#include "kernels/nn/resample.h"
#include "kernels/seams/conv_block.h"

namespace ito {
namespace {

class ConvBlockOp : public Op {
 public:
  ConvBlockOp(const ConvBlockShape& shape, std::string shortcut_name, DType type, int n, float scale)
      : shape_(shape),
        shortcut_name_(std::move(shortcut_name)),
        type_(type),
        n_(n),
        scale_(scale),
        first_parameter_(shape.shortcut_c ? 2 : 0) {}

  const char* kind() const override { return "conv_block"; }

  void prepare(const WantedGradients& wanted) override {
    wanted_ = {wanted.inputs.at(0), wanted.parameters};
    wanted_shortcut_ = {std::any_of(wanted.inputs.begin() + 1, wanted.inputs.end(), [](bool is) { return is; }),
                        wanted.parameters};
    block_ = make_conv_block(name.c_str(), shape_, type_);
    if (block_) return;
    conv_.emplace(name.c_str(), shape_.conv, type_, wanted_);
    if (shape_.shortcut_c) shortcut_.emplace(shortcut_name_.c_str(), shortcut_of(shape_), type_, wanted_shortcut_);
  }

  std::string describe() const override {
    if (block_) return "block=" + block_->name();
    if (!conv_) return "";
    return conv_->implementations() + (shortcut_ ? "; shortcut " + shortcut_->implementations() : "");
  }
  KernelChoices choices() const override {
    KernelChoices all = conv_block_choices(shape_, type_, block_.get());
    if (conv_) all.merge(conv_->choices());
    if (shortcut_) all.merge(shortcut_->choices());
    return all;
  }
  std::vector<KernelTiming> time_choices() const override {
    std::vector<KernelTiming> all = ConvLayer(name.c_str(), shape_.conv, type_, wanted_).time_choices(n_);
    if (shape_.shortcut_c) {
      const ConvLayer layer(shortcut_name_.c_str(), shortcut_of(shape_), type_, wanted_shortcut_);
      std::ranges::move(layer.time_choices(n_), std::back_inserter(all));
    }
    std::ranges::move(time_conv_block(shape_, type_, wanted_.weight || wanted_.data, n_, all), std::back_inserter(all));
    return all;
  }

  bool reads_bf16_weights() const override {
    return !block_ && (conv_->takes_rounded_masters() || (shortcut_ && shortcut_->takes_rounded_masters()));
  }
  size_t packed_bytes() const override {
    if (block_) return block_->packed_bytes();
    return packed_of(*conv_) + (shortcut_ ? packed_of(*shortcut_) : 0);
  }
  size_t kept_bytes() const override { return wanted_.weight ? copy_bytes() : 0; }
  size_t forward_workspace() const override {
    if (block_) return 0;
    const size_t layers = std::max(conv_->forward_workspace(n_), shortcut_ ? shortcut_->forward_workspace(n_) : 0);
    return (wanted_.weight ? 0 : copy_bytes()) + (shortcut_ ? y_bytes() : 0) + layers;
  }
  size_t backward_workspace() const override {
    const size_t own = scaled_bytes() + upsampled_bytes() + (block_ ? 0 : joined_bytes());
    if (block_) return own + block_->backward_weight_workspace(n_);
    size_t layers = std::max(conv_->backward_data_workspace(n_), conv_->backward_weight_workspace(n_));
    if (shortcut_)
      layers = std::max({layers, shortcut_->backward_data_workspace(n_), shortcut_->backward_weight_workspace(n_)});
    return own + layers;
  }
  int moment_rows() const override { return block_ ? block_->moment_rows() : conv_->moment_rows(); }
  int norm_rows() const override {
    if (shape_.upsampled) return 0;
    return block_ ? block_->norm_rows() : conv_->norm_rows();
  }

  double flop(Part) const override {
    const ConvShape& c = shape_.conv;
    return 2.0 * n_ * c.out_h() * c.out_w() * c.k * (double{1} * c.r * c.s * c.c + shape_.shortcut_c);
  }

  void pack(Stream& stream, const OpData& data) override {
    if (block_) {
      block_->bind(data.packed());
      const auto parameter = [&](int i) { return shape_.shortcut_c ? data.parameter(i) : nullptr; };
      return block_->pack(
          stream, {data.parameter(first_parameter_), data.parameter(first_parameter_ + 1), parameter(0), parameter(1)});
    }
    pack_layer(stream, *conv_, data, first_parameter_, 0);
    if (shortcut_) pack_layer(stream, *shortcut_, data, 0, packed_of(*conv_));
  }

  void forward(Stream& stream, const OpData& data) override {
    if (block_)
      return block_->forward(stream, data.out(0), data.in(0), shortcut_input(data), scale_, data.moments_out(), n_);
    char* workspace = static_cast<char*>(data.workspace());
    char* copies = static_cast<char*>(data.kept());
    if (!wanted_.weight) {
      copies = workspace;
      workspace += copy_bytes();
    }
    const ConvShape& c = shape_.conv;
    if (shape_.upsampled) upsample_nearest(stream, {copies, type_}, data.in(0), n_, c.h / 2, c.w / 2, c.c, c.h, c.w);
    if (shape_.shortcut_first_c)
      concat_channels(stream, {copies + upsampled_bytes(), type_}, data.in(1), data.in(2), pixels(),
                      shape_.shortcut_first_c, shape_.shortcut_c - shape_.shortcut_first_c);
    ConvEpilogue epilogue{.bias = data.parameter(first_parameter_ + 1), .scale = scale_, .moments = data.moments_out()};
    if (shortcut_) {
      const DataRef side(workspace, type_);
      workspace += y_bytes();
      shortcut_->forward(stream, side, joined(data, copies), {.bias = data.parameter(1)}, n_, workspace);
      epilogue.residual = side;
    }
    conv_->forward(stream, data.out(0), filtered(data, copies), epilogue, n_, workspace);
  }

  void backward(Stream& stream, const OpData& data) override {
    ConstDataRef dsum = data.dout(0);
    char* workspace = static_cast<char*>(data.workspace());
    if (scale_ != 1.0f) {
      const DataRef scaled(workspace, type_);
      accumulate(stream, scaled, Write::Set, dsum, scale_, pixels() * shape_.conv.k);
      dsum = scaled;
      workspace += scaled_bytes();
    }
    const DataRef du(workspace, type_);
    workspace += upsampled_bytes();
    if (block_)
      backward_as_one(stream, data, dsum, du, workspace);
    else
      backward_apart(stream, data, dsum, du, workspace);
  }

 private:
  void backward_as_one(Stream& stream, const OpData& data, ConstDataRef dsum, DataRef du, void* workspace) {
    if (float* dweight = data.dparameter(first_parameter_)) {
      const auto of_shortcut = [&](int i) { return shape_.shortcut_c ? data.dparameter(i) : nullptr; };
      block_->backward_weight(stream, {dweight, data.dparameter(first_parameter_ + 1), of_shortcut(0), of_shortcut(1)},
                              dsum, data.in(0), shortcut_input(data), n_, workspace);
    }
    set_dx(stream, data, du, [&](DataRef to, Write write) {
      block_->backward_data(stream, to, write, dsum, n_, data.norm_before(stream));
    });
    if (!wanted_shortcut_.data) return;
    ShortcutGradient gradient{.first = data.din(1), .first_write = data.din_write(1)};
    if (inputs.size() > 2) {
      gradient.second = data.din(2);
      gradient.second_write = data.din_write(2);
    }
    block_->backward_shortcut(stream, gradient, dsum, n_);
  }

  void backward_apart(Stream& stream, const OpData& data, ConstDataRef dsum, DataRef du, char* workspace) {
    const DataRef djoined(workspace, type_);
    workspace += joined_bytes();
    const char* copies = static_cast<const char*>(data.kept());
    if (float* dweight = data.dparameter(first_parameter_))
      conv_->backward_weight(stream, dweight, data.dparameter(first_parameter_ + 1), dsum, filtered(data, copies), n_,
                             workspace);
    set_dx(stream, data, du, [&](DataRef to, Write write) {
      conv_->backward_data(stream, to, write, dsum, n_, workspace, data.norm_before(stream));
    });
    if (!shortcut_) return;
    if (float* dweight = data.dparameter(0))
      shortcut_->backward_weight(stream, dweight, data.dparameter(1), dsum, joined(data, copies), n_, workspace);
    if (!wanted_shortcut_.data) return;
    if (!shape_.shortcut_first_c)
      return shortcut_->backward_data(stream, data.din(1), data.din_write(1), dsum, n_, workspace);
    shortcut_->backward_data(stream, djoined, Write::Set, dsum, n_, workspace);
    split_channels(stream, data.din(1), data.din_write(1), data.din(2), data.din_write(2), djoined, pixels(),
                   shape_.shortcut_first_c, shape_.shortcut_c - shape_.shortcut_first_c);
  }

  // Where x is upsampled, its gradient by way of du.
  template <class Backward>
  void set_dx(Stream& stream, const OpData& data, DataRef du, const Backward& backward) {
    const DataRef dx = data.din(0);
    if (!dx) return;
    if (!shape_.upsampled) return backward(dx, data.din_write(0));
    backward(du, Write::Set);
    const ConvShape& c = shape_.conv;
    upsample_nearest_backward(stream, dx, data.din_write(0), du, n_, c.h / 2, c.w / 2, c.c, c.h, c.w);
  }

  ShortcutInput shortcut_input(const OpData& data) const {
    if (!shape_.shortcut_c) return {};
    return {data.in(1), inputs.size() > 2 ? data.in(2) : ConstDataRef()};
  }
  ConstDataRef filtered(const OpData& data, const char* copies) const {
    return shape_.upsampled ? ConstDataRef(copies, type_) : data.in(0);
  }
  ConstDataRef joined(const OpData& data, const char* copies) const {
    return shape_.shortcut_first_c ? ConstDataRef(copies + upsampled_bytes(), type_) : data.in(1);
  }
  static size_t packed_of(const ConvLayer& layer) {
    return layer.takes_rounded_masters() ? 0 : aligned(layer.packed_bytes());
  }
  static void pack_layer(Stream& stream, ConvLayer& layer, const OpData& data, int parameter, size_t offset) {
    if (layer.takes_rounded_masters()) return layer.bind(const_cast<bf16*>(data.bf16_parameter(parameter)));
    layer.bind(static_cast<char*>(data.packed()) + offset);
    layer.pack(stream, data.parameter(parameter));
  }

  int64_t pixels() const { return int64_t{1} * n_ * shape_.conv.out_h() * shape_.conv.out_w(); }
  size_t bytes(int64_t elements) const { return aligned(static_cast<size_t>(elements) * size_of(type_)); }
  size_t y_bytes() const { return bytes(pixels() * shape_.conv.k); }
  size_t scaled_bytes() const { return scale_ == 1.0f ? 0 : y_bytes(); }
  size_t upsampled_bytes() const {
    return shape_.upsampled ? bytes(int64_t{1} * n_ * shape_.conv.h * shape_.conv.w * shape_.conv.c) : 0;
  }
  size_t joined_bytes() const { return shape_.shortcut_first_c ? bytes(pixels() * shape_.shortcut_c) : 0; }
  size_t copy_bytes() const { return block_ ? 0 : upsampled_bytes() + joined_bytes(); }

  ConvBlockShape shape_;
  std::string shortcut_name_;
  DType type_;
  int n_;
  float scale_;
  int first_parameter_;  // of the convolution's own; the shortcut's come before
  ConvGradients wanted_, wanted_shortcut_;
  std::unique_ptr<ConvBlock> block_;  // null: apart
  std::optional<ConvLayer> conv_, shortcut_;
};

void add_parameters(OpSpec& spec, const std::string& name, const ConvShape& shape) {
  const int64_t fan_in = int64_t{1} * shape.r * shape.s * shape.c;
  spec.parameters.push_back(
      {name + ".weight", ParameterKind::Convolution, {shape.k, shape.c, shape.r, shape.s}, Initial::Uniform, fan_in});
  spec.parameters.push_back({name + ".bias", ParameterKind::Vector, {shape.k}, Initial::Uniform, fan_in});
}

}  // namespace

Value conv_block(Program& program, const std::string& name, Value x, const ConvBlockOptions& options) {
  const ValueInfo in = program.info(x);
  const DType type = program.options().compute;
  const int factor = options.upsampled ? 2 : 1;
  ConvBlockShape shape;
  shape.upsampled = options.upsampled;
  shape.conv = {.h = factor * in.h, .w = factor * in.w, .c = in.c, .k = options.k};
  OpSpec spec{name, {x}, {in.n, shape.conv.h, shape.conv.w, options.k, type}};
  for (const Value part : {options.shortcut.first, options.shortcut.second}) {
    if (!part) continue;
    const ValueInfo& side = program.info(part);
    ITO_CHECK(side.n == in.n && side.h == shape.conv.h && side.w == shape.conv.w, name, ": a shortcut of ", side.n,
              " of ", side.h, "x", side.w, " beside ", in.n, " of ", shape.conv.h, "x", shape.conv.w);
    if (part == options.shortcut.first && options.shortcut.second) shape.shortcut_first_c = side.c;
    shape.shortcut_c += side.c;
    spec.inputs.push_back(part);
  }
  if (program.options().mode == Mode::Training) spec.saved = spec.inputs;
  if (shape.shortcut_c) add_parameters(spec, options.shortcut_name, shortcut_of(shape));
  add_parameters(spec, name, shape.conv);
  return program.add(std::make_unique<ConvBlockOp>(shape, options.shortcut_name, type, in.n, options.scale),
                     std::move(spec));
}

}  // namespace ito
