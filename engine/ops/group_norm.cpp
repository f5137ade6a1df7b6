// SPDX-License-Identifier: Apache-2.0
// GroupNorm with SiLU, time embedding and scale/shift folded in. Saves x and the statistics, recomputes the rest.
#include "kernels/nn/group_norm.h"
#include "engine/ops/ops.h"
#include "kernels/nn/pointwise.h"

namespace ito {
namespace {

class GroupNormOp : public Op {
 public:
  // dx_wanted: whether x has a gradient; the kernel writes one in any case, then to scratch.
  GroupNormOp(const GroupNormShape& shape, bool temb, bool scale_shift, bool dx_wanted, DType type)
      : shape_(shape),
        temb_input_(temb ? 1 : -1),
        scale_shift_input_(scale_shift ? (temb ? 2 : 1) : -1),
        unwanted_dx_bytes_(dx_wanted ? 0 : padded(size_of(type) * shape.n * shape.hw * shape.c)) {}

  const char* kind() const override { return "group_norm"; }
  size_t backward_workspace() const override {
    return unwanted_dx_bytes_ + sizeof(float) * (2 + row_gradient_width()) * shape_.n * shape_.c;
  }

  void forward(Stream& stream, const OpData& data) override {
    group_norm_forward(stream, data.out(0), data.out(1).as<float>(), data.in(0), data.parameter(0), data.parameter(1),
                       modulation(data), shape_);
  }

  void backward(Stream& stream, const OpData& data) override {
    const int64_t nc = int64_t{1} * shape_.n * shape_.c;
    char* workspace = static_cast<char*>(data.workspace());
    float* scratch = reinterpret_cast<float*>(workspace + unwanted_dx_bytes_);
    GroupNormGradients gradients;
    gradients.dx = data.din(0);
    gradients.write = gradients.dx ? data.din_write(0) : Write::Set;
    if (!gradients.dx) gradients.dx = DataRef(workspace, data.in(0).type);
    gradients.dgamma_partial = scratch;
    gradients.dbeta_partial = scratch + nc;
    // Row gradients are set by the kernel; where the tensor already holds some, they pass through scratch.
    RowGradient temb = row_gradient(data, temb_input_, scratch + 2 * nc);
    RowGradient scale_shift = row_gradient(data, scale_shift_input_, scratch + (temb_input_ > 0 ? 3 : 2) * nc);
    gradients.dtemb = temb.target;
    gradients.dscale_shift = scale_shift.target;
    group_norm_backward(stream, gradients, data.dout(0), data.in(0), static_cast<const float*>(data.out(1).data),
                        data.parameter(0), data.parameter(1), modulation(data), shape_);
    if (temb.add_to) accumulate(stream, temb.add_to, Write::Add, temb.target, 1.0f, nc);
    if (scale_shift.add_to) accumulate(stream, scale_shift.add_to, Write::Add, scale_shift.target, 1.0f, 2 * nc);
    if (float* dgamma = data.dparameter(0)) {
      fold_rows(stream, dgamma, data.parameter_write(), gradients.dgamma_partial, shape_.n, shape_.c);
      fold_rows(stream, data.dparameter(1), data.parameter_write(), gradients.dbeta_partial, shape_.n, shape_.c);
    }
  }

 private:
  struct RowGradient {
    float* target = nullptr;  // what the kernel sets
    float* add_to = nullptr;  // and where it is added afterwards
  };

  RowGradient row_gradient(const OpData& data, int input, float* scratch) const {
    if (input < 0) return {};
    const DataRef wanted = data.din(input);
    if (!wanted) return {};
    if (data.din_write(input) == Write::Set) return {wanted.as<float>(), nullptr};
    return {scratch, wanted.as<float>()};
  }

  static size_t padded(size_t bytes) { return (bytes + 255) / 256 * 256; }
  int row_gradient_width() const { return (temb_input_ > 0 ? 1 : 0) + (scale_shift_input_ > 0 ? 2 : 0); }

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
  size_t unwanted_dx_bytes_;
};

}  // namespace

Value group_norm(Program& program, const std::string& name, Value x, const GroupNormOptions& options) {
  const ValueInfo in = program.info(x);
  ITO_USER_CHECK(options.groups > 0 && in.c % options.groups == 0, name, ": ", in.c, " channels do not divide into ",
                 options.groups, " groups; change norm_num_groups or block_out_channels");
  GroupNormShape shape;
  shape.n = program.options().n;
  shape.hw = in.h * in.w;
  shape.c = in.c;
  shape.groups = options.groups;
  shape.eps = options.eps;
  shape.silu = options.silu;
  auto op = std::make_unique<GroupNormOp>(shape, static_cast<bool>(options.temb),
                                          static_cast<bool>(options.scale_shift), program.wants_gradient(x), in.type);
  op->name = name;
  op->parameters = {program.add_parameter({name + ".weight", ParameterKind::Vector, {in.c}, Initial::Ones}),
                    program.add_parameter({name + ".bias", ParameterKind::Vector, {in.c}, Initial::Zeros})};
  op->inputs = {x};
  if (options.temb) op->inputs.push_back(options.temb);
  if (options.scale_shift) op->inputs.push_back(options.scale_shift);
  const Value y = program.add_value(name, in.h, in.w, in.c, in.type);
  const Value stats = program.add_value(name + " statistics", 1, 1, 2 * options.groups, DType::F32);
  op->outputs = {y, stats};
  op->saved = op->inputs;
  op->saved.push_back(stats);
  program.add_op(std::move(op));
  return y;
}

}  // namespace ito
