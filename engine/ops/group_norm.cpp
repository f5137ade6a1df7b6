// SPDX-License-Identifier: Apache-2.0
// GroupNorm with SiLU, time embedding and scale/shift folded in. Saves x and the statistics, recomputes the rest.
#include "kernels/nn/group_norm.h"
#include "engine/ops/ops.h"
#include "kernels/nn/fold_tree.h"
#include "kernels/nn/pointwise.h"

namespace ito {
namespace {

class GroupNormOp : public Op {
 public:
  GroupNormOp(const GroupNormShape& shape, bool temb, bool scale_shift)
      : shape_(shape), temb_input_(temb ? 1 : -1), scale_shift_input_(scale_shift ? (temb ? 2 : 1) : -1) {}

  const char* kind() const override { return "group_norm"; }
  size_t forward_workspace() const override { return group_norm_forward_workspace(shape_); }
  size_t backward_workspace() const override {
    return sizeof(float) * 2 * shape_.n * shape_.c + group_norm_backward_workspace(shape_);  // gamma's, beta's an image
  }

  bool reads_moments(int input) const override { return input == 0 && group_norm_spreads(shape_); }

  void forward(Stream& stream, const OpData& data) override {
    if (const Moments moments = data.moments(0)) {
      float* stats = data.out(1).as<float>();
      group_norm_fold_statistics(stream, stats, moments.data, shape_.hw / moments.rows, modulation(data), shape_);
      return group_norm_apply(stream, data.out(0), data.in(0), stats, data.parameter(0), data.parameter(1),
                              modulation(data), shape_);
    }
    group_norm_forward(stream, data.out(0), data.out(1).as<float>(), data.in(0), data.parameter(0), data.parameter(1),
                       modulation(data), shape_, static_cast<float*>(data.workspace()));
  }

  void backward(Stream& stream, const OpData& data) override {
    const int64_t nc = int64_t{1} * shape_.n * shape_.c;
    float* partials = static_cast<float*>(data.workspace());
    GroupNormGradients gradients;
    gradients.dx = data.din(0) ? data.din(0) : data.settable_din(0);
    gradients.write = data.din(0) ? data.din_write(0) : Write::Set;
    gradients.dgamma_partial = partials;
    gradients.dbeta_partial = partials + nc;
    gradients.dtemb = row_gradient(data, temb_input_);
    gradients.dscale_shift = row_gradient(data, scale_shift_input_);
    group_norm_backward(stream, gradients, data.dout(0), data.in(0), data.out(1).as<float>(), data.parameter(0),
                        data.parameter(1), modulation(data), shape_, partials + 2 * nc);
    if (float* dgamma = data.dparameter(0))
      fold_trees(
          stream,
          {{dgamma, gradients.dgamma_partial, shape_.c}, {data.dparameter(1), gradients.dbeta_partial, shape_.c}},
          shape_.n, images_per_chunk());
  }

 private:
  float* row_gradient(const OpData& data, int input) const {
    return input >= 0 && data.din(input) ? data.settable_din(input).as<float>() : nullptr;
  }

  GroupNormModulation modulation(const OpData& data) const {
    GroupNormModulation m;
    if (temb_input_ > 0) {
      m.temb = data.in(temb_input_).as<float>();
      m.temb_stride = shape_.c;
    }
    if (scale_shift_input_ > 0) {
      m.scale_shift = data.in(scale_shift_input_).as<float>();
      m.scale_shift_stride = 2 * shape_.c;
    }
    return m;
  }

  GroupNormShape shape_;
  int temb_input_, scale_shift_input_;
};

}  // namespace

Value group_norm(Program& program, const std::string& name, Value x, const GroupNormOptions& options) {
  const ValueInfo in = program.info(x);
  ITO_USER_CHECK(options.groups > 0 && in.c % options.groups == 0, name, ": ", in.c, " channels do not divide into ",
                 options.groups, " groups; change norm_num_groups or block_out_channels");
  GroupNormShape shape;
  shape.n = in.n;
  shape.hw = in.h * in.w;
  shape.c = in.c;
  shape.groups = options.groups;
  shape.eps = options.eps;
  shape.silu = options.silu;
  OpSpec spec{name, {x}, in};
  if (!program.wants_gradient(x)) spec.set_only = {0};  // the kernel writes dx in any case
  for (Value rows : {options.temb, options.scale_shift}) {
    if (!rows) continue;
    if (program.wants_gradient(rows)) spec.set_only.push_back(static_cast<int>(spec.inputs.size()));
    spec.inputs.push_back(rows);
  }
  spec.saved = spec.inputs;
  spec.statistics = {{" statistics", {in.n, 1, 1, 2 * options.groups, DType::F32}}};
  spec.parameters = {{name + ".weight", ParameterKind::Vector, {in.c}, Initial::Ones},
                     {name + ".bias", ParameterKind::Vector, {in.c}, Initial::Zeros}};
  return program.add(
      std::make_unique<GroupNormOp>(shape, static_cast<bool>(options.temb), static_cast<bool>(options.scale_shift)),
      std::move(spec));
}

}  // namespace ito
