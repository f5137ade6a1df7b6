// SPDX-License-Identifier: Apache-2.0
// See tensor_conv_block.h. Packed: the filters with the shortcut's behind each (conv_sm80.h), then the sum of both
// biases.
#include "kernels/seams/lanes/tensor_conv_block.h"

#include "kernels/nn/conv_sm80.h"
#include "kernels/nn/pointwise.h"
#include "kernels/seams/lanes/tensor_conv.h"

namespace ito {
namespace {

bf16* as_bf16(DataRef data) {
  return static_cast<bf16*>(data.data);
}

ConvSm80Shape sm80_shape(const ConvBlockShape& s) {
  return {s.conv, 0, s.upsampled, s.shortcut_c, s.shortcut_first_c};
}

class TensorConvBlock : public ConvBlock {
 public:
  explicit TensorConvBlock(const ConvBlockShape& shape) : shape_(sm80_shape(shape)) {}
  std::string name() const override { return kSm80Conv.name; }
  size_t packed_bytes() const override { return filter_bytes() + sizeof(float) * shape_.conv.k; }
  void bind(void* packed) override { packed_ = static_cast<char*>(packed); }
  int moment_rows() const override { return conv_sm80_moment_rows(shape_); }
  int norm_rows() const override { return conv_sm80_norm_rows(shape_); }
  size_t backward_weight_workspace(int n) const override { return conv_sm80_backward_weight_workspace(shape_, n); }

  void pack(Stream& stream, const ConvBlockParameters& p) override {
    conv_sm80_pack(stream, filters(), p.weight, p.shortcut_weight, shape_);
    add_scaled(stream, bias(), p.bias, p.shortcut_bias ? ConstDataRef(p.shortcut_bias) : ConstDataRef(), 1.0f,
               shape_.conv.k);
  }
  void forward(Stream& stream, DataRef y, ConstDataRef x, const ShortcutInput& shortcut, float scale, float* moments,
               int n) override {
    conv_sm80_forward(stream, as_bf16(y), input(x, shortcut), filters(),
                      {.bias = bias(), .scale = scale, .moments = moments}, shape_, n);
  }
  void backward_data(Stream& stream, DataRef du, Write write, ConstDataRef dy, int n, const NormBefore& norm) override {
    conv_sm80_backward_data(stream, {.dx = as_bf16(du), .write = write, .norm = sm80_norm(norm)}, as_bf16(dy),
                            filters(), shape_, n);
  }
  void backward_shortcut(Stream& stream, const ShortcutGradient& g, ConstDataRef dy, int n) override {
    conv_sm80_backward_shortcut(stream, {as_bf16(g.first), g.first_write, as_bf16(g.second), g.second_write},
                                as_bf16(dy), filters(), shape_, n);
  }
  void backward_weight(Stream& stream, const ConvBlockGradients& g, ConstDataRef dy, ConstDataRef x,
                       const ShortcutInput& shortcut, int n, void* workspace) override {
    conv_sm80_backward_weight(stream, {g.weight, g.shortcut_weight, g.bias}, as_bf16(dy), input(x, shortcut), shape_, n,
                              workspace);
    if (g.shortcut_bias) accumulate(stream, g.shortcut_bias, Write::Set, g.bias, 1.0f, shape_.conv.k);
  }

 private:
  size_t filter_bytes() const { return aligned(conv_sm80_packed_bytes(shape_)); }
  bf16* filters() const {
    ITO_CHECK(packed_, "a block of a convolution before bind(); give it the memory for packed filters first");
    return reinterpret_cast<bf16*>(packed_);
  }
  float* bias() const { return reinterpret_cast<float*>(packed_ + filter_bytes()); }
  static ConvSm80Input input(ConstDataRef x, const ShortcutInput& shortcut) {
    return {.x = as_bf16(x), .shortcut = as_bf16(shortcut.first), .shortcut1 = as_bf16(shortcut.second)};
  }

  ConvSm80Shape shape_;
  char* packed_ = nullptr;
};

}  // namespace

bool tensor_conv_block_takes(const ConvBlockShape& shape, DType type) {
  return type == DType::BF16 && !conv_sm80_refusal(sm80_shape(shape));
}

std::unique_ptr<ConvBlock> make_tensor_conv_block(const ConvBlockShape& shape, DType type) {
  ITO_CHECK(tensor_conv_block_takes(shape, type), "a block of a convolution that has no kernel");
  return std::make_unique<TensorConvBlock>(shape);
}

}  // namespace ito
