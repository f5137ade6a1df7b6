// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm over a token's channels, or over those of each of its heads, with what an image's rows scale
// and shift it by. Saves x, the rows and the statistics.
#include "kernels/nn/layer_norm.h"

#include "engine/ops/image_rows.h"
#include "engine/ops/ops.h"
#include "kernels/nn/fold_tree.h"

namespace ito {
namespace {

class LayerNormOp : public Op {
 public:
  LayerNormOp(const LayerNormShape& shape, const LayerNormOptions& options, const ImageRows& rows)
      : shape_(shape), options_(options), rows_(rows) {}

  const char* kind() const override { return "layer_norm"; }
  size_t backward_workspace() const override {
    const int parameters = (options_.weight ? 1 : 0) + (options_.bias ? 1 : 0);
    return sizeof(float) * parameters * shape_.n * shape_.c;  // an image's part
  }

  void forward(Stream& stream, const OpData& data) override {
    layer_norm_forward(stream, data.out(0), data.out(1).as<float>(), data.in(0), affine(data), shape_);
  }

  void backward(Stream& stream, const OpData& data) override {
    LayerNormGradients gradients;
    gradients.dx = data.din(0);
    gradients.write = data.din_write(0);
    float* partial = static_cast<float*>(data.workspace());
    float* const dweight = options_.weight ? data.dparameter(0) : nullptr;
    float* const dbias = options_.bias ? data.dparameter(options_.weight ? 1 : 0) : nullptr;
    if (dweight) gradients.dweight_partial = partial, partial += int64_t{1} * shape_.n * shape_.c;
    if (dbias) gradients.dbias_partial = partial;
    if (options_.rows)
      if (float* drows = rows_.gradient(stream, data, 1)) {
        if (options_.scale_at >= 0) gradients.dscale = drows + options_.scale_at;
        if (options_.shift_at >= 0) gradients.dshift = drows + options_.shift_at;
        gradients.modulation_write = Write::Add;
      }
    layer_norm_backward(stream, gradients, data.dout(0), data.in(0), data.out(1).as<float>(), affine(data), shape_);
    if (dweight) fold_tree(stream, dweight, gradients.dweight_partial, shape_.n, images_per_chunk(), shape_.c);
    if (dbias) fold_tree(stream, dbias, gradients.dbias_partial, shape_.n, images_per_chunk(), shape_.c);
  }

 private:
  LayerNormAffine affine(const OpData& data) const {
    LayerNormAffine affine;
    if (options_.weight) affine.weight = data.parameter(0);
    if (options_.bias) affine.bias = data.parameter(options_.weight ? 1 : 0);
    if (!options_.rows) return affine;
    const float* rows = data.in(1).as<float>();
    if (options_.scale_at >= 0) affine.scale = rows + options_.scale_at;
    if (options_.shift_at >= 0) affine.shift = rows + options_.shift_at;
    affine.stride = rows_.width;
    return affine;
  }

  LayerNormShape shape_;
  LayerNormOptions options_;
  ImageRows rows_;
};

}  // namespace

Value layer_norm(Program& program, const std::string& name, Value x, const LayerNormOptions& options) {
  const ValueInfo in = program.info(x);
  ITO_USER_CHECK(options.heads > 0 && in.c % options.heads == 0, name, ": ", in.c, " channels do not divide into ",
                 options.heads, " heads; change the number of heads");
  LayerNormShape shape;
  shape.n = in.n;
  shape.rows = in.h * in.w * options.heads;
  shape.c = in.c / options.heads;
  shape.eps = options.eps;
  shape.centred = options.centred;
  OpSpec spec{name, {x}, in};
  ImageRows rows;
  if (options.rows) {
    ITO_CHECK(options.heads == 1, name, ": an image's rows scale whole tokens, not heads");
    rows = image_rows(program, name, options.rows, in, {options.scale_at, options.shift_at});
    spec.inputs.push_back(options.rows);
  }
  spec.saved = spec.inputs;
  spec.statistics = {{" statistics", {in.n, 1, 1, shape.rows * shape.statistics(), DType::F32}}};
  if (options.weight) spec.parameters.push_back({name + ".weight", ParameterKind::Vector, {shape.c}, Initial::Ones});
  if (options.bias) spec.parameters.push_back({name + ".bias", ParameterKind::Vector, {shape.c}, Initial::Zeros});
  return program.add(std::make_unique<LayerNormOp>(shape, options, rows), std::move(spec));
}

}  // namespace ito
