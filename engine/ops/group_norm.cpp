// SPDX-License-Identifier: Apache-2.0
// GroupNorm with SiLU, time embedding and scale/shift folded in. Saves x, which may be two tensors side by side, and
// the statistics, recomputes the rest.
#include "kernels/nn/group_norm.h"
#include "engine/ops/ops.h"
#include "kernels/nn/fold_tree.h"
#include "kernels/nn/pointwise.h"
#include "kernels/seams/conv.h"

namespace ito {
namespace {

class GroupNormOp : public Op {
 public:
  // first_c: channels of the first of two tensors; 0: x is one.
  GroupNormOp(const GroupNormShape& shape, int first_c, bool temb, bool scale_shift)
      : shape_(shape),
        first_c_(first_c),
        temb_input_(temb ? parts() : -1),
        scale_shift_input_(scale_shift ? parts() + (temb ? 1 : 0) : -1) {}

  const char* kind() const override { return "group_norm"; }
  size_t forward_workspace() const override { return group_norm_forward_workspace(shape_); }
  size_t backward_workspace() const override {
    return sizeof(float) * 2 * shape_.n * shape_.c + group_norm_backward_workspace(shape_);  // gamma's, beta's an image
  }

  bool reads_moments(int input) const override { return input < parts() && group_norm_spreads(shape_); }

  // Where a group is spread, the backward's sums are a pass of their own over x and dy, which another op may take in.
  bool is_norm() const override { return group_norm_spreads(shape_); }
  void describe_norm(Stream& stream, const OpData& data, float* chain, NormBefore& norm) const override {
    group_norm_chain(stream, chain, data.out(1).as<float>(), data.parameter(0), data.parameter(1), modulation(data),
                     shape_);
    norm.x = data.in(0);
    if (first_c_) norm.x1 = data.in(1);
    norm.first_c = first_c_;
    norm.silu = shape_.silu;
  }

  void forward(Stream& stream, const OpData& data) override {
    float* stats = data.out(1).as<float>();
    const Moments first = data.moments(0), second = first_c_ ? data.moments(1) : Moments{};
    if (!first || (first_c_ && !second))
      return group_norm_forward(stream, data.out(0), stats, x(data), data.parameter(0), data.parameter(1),
                                modulation(data), shape_, static_cast<float*>(data.workspace()));
    GroupNormMoments moments{first.data, shape_.hw / first.rows};
    if (first_c_) moments = {first.data, shape_.hw / first.rows, second.data, shape_.hw / second.rows, first_c_};
    group_norm_fold_statistics(stream, stats, moments, modulation(data), shape_);
    group_norm_apply(stream, data.out(0), x(data), stats, data.parameter(0), data.parameter(1), modulation(data),
                     shape_);
  }

  void backward(Stream& stream, const OpData& data) override {
    const int64_t nc = int64_t{1} * shape_.n * shape_.c;
    float* partials = static_cast<float*>(data.workspace());
    GroupNormGradients gradients;
    set_dx(data, 0, gradients.dx, gradients.write);
    if (first_c_) set_dx(data, 1, gradients.dx1, gradients.write1);
    gradients.dgamma_partial = partials;
    gradients.dbeta_partial = partials + nc;
    gradients.dtemb = row_gradient(data, temb_input_);
    gradients.dscale_shift = row_gradient(data, scale_shift_input_);
    int rows = 0;
    if (const float* sums = data.norm_sums(&rows))
      group_norm_backward_from_sums(stream, gradients, data.dout(0), x(data), sums, rows, data.out(1).as<float>(),
                                    data.parameter(0), data.parameter(1), modulation(data), shape_, partials + 2 * nc);
    else
      group_norm_backward(stream, gradients, data.dout(0), x(data), data.out(1).as<float>(), data.parameter(0),
                          data.parameter(1), modulation(data), shape_, partials + 2 * nc);
    if (float* dgamma = data.dparameter(0))
      fold_trees(
          stream,
          {{dgamma, gradients.dgamma_partial, shape_.c}, {data.dparameter(1), gradients.dbeta_partial, shape_.c}},
          shape_.n, images_per_chunk());
  }

 private:
  int parts() const { return first_c_ ? 2 : 1; }
  GroupNormInput x(const OpData& data) const {
    if (!first_c_) return data.in(0);
    return {data.in(0), data.in(1), first_c_};
  }
  // The kernel writes it in any case.
  static void set_dx(const OpData& data, int input, DataRef& dx, Write& write) {
    dx = data.din(input) ? data.din(input) : data.settable_din(input);
    write = data.din(input) ? data.din_write(input) : Write::Set;
  }

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
  int first_c_;
  int temb_input_, scale_shift_input_;
};

}  // namespace

Parts side_by_side(Program& program, const std::string& name, Value left, Value right) {
  const int first_c = program.info(left).c;
  if (group_norm_takes_two(first_c + program.info(right).c, first_c)) return {left, right};
  return concat_channels(program, name, left, right);
}

Value group_norm(Program& program, const std::string& name, const Parts& x, const GroupNormOptions& options) {
  TensorShape in = program.info(x.first);
  const int first_c = x.second ? in.c : 0;
  in.c = channels_of(program, x);
  ITO_USER_CHECK(options.groups > 0 && in.c % options.groups == 0, name, ": ", in.c, " channels do not divide into ",
                 options.groups, " groups; change norm_num_groups or block_out_channels");
  GroupNormShape shape;
  shape.n = in.n;
  shape.hw = in.h * in.w;
  shape.c = in.c;
  shape.groups = options.groups;
  shape.eps = options.eps;
  shape.silu = options.silu;
  OpSpec spec{name, {}, in};
  for (const Value part : {x.first, x.second}) {
    if (!part) continue;
    ITO_CHECK(program.info(part).h == in.h && program.info(part).w == in.w && program.info(part).n == in.n, name,
              ": two tensors of other sizes side by side");
    if (!program.wants_gradient(part)) spec.set_only.push_back(static_cast<int>(spec.inputs.size()));
    spec.inputs.push_back(part);
  }
  for (Value rows : {options.temb, options.scale_shift}) {
    if (!rows) continue;
    if (program.wants_gradient(rows)) spec.set_only.push_back(static_cast<int>(spec.inputs.size()));
    spec.inputs.push_back(rows);
  }
  spec.saved = spec.inputs;
  spec.statistics = {{" statistics", {in.n, 1, 1, 2 * options.groups, DType::F32}}};
  spec.parameters = {{name + ".weight", ParameterKind::Vector, {in.c}, Initial::Ones},
                     {name + ".bias", ParameterKind::Vector, {in.c}, Initial::Zeros}};
  return program.add(std::make_unique<GroupNormOp>(shape, first_c, static_cast<bool>(options.temb),
                                                   static_cast<bool>(options.scale_shift)),
                     std::move(spec));
}

}  // namespace ito
