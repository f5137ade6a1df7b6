// SPDX-License-Identifier: Apache-2.0
// A layer of kernels/nn/conv_sm80.h with its tensors on the device: what its tests run. Host tensors are as the filter
// sees them, after upsampling and with both tensors side by side; here they are cut into what the kernels read.
#pragma once
#include <memory>

#include "kernels/nn/conv_sm80.h"
#include "tests/kernels/op_test.h"

namespace ito::test {

// Channels [first, last) of rows of c.
inline Values channels(const Values& rows, int c, int first, int last) {
  Values out;
  for (size_t row = 0; row < rows.size() / c; ++row)
    out.insert(out.end(), rows.begin() + row * c + first, rows.begin() + row * c + last);
  return out;
}
// Every second pixel down and across of images (h, w, c).
inline Values halved(const Values& x, int h, int w, int c) {
  Values out;
  for (size_t row = 0; row < x.size() / (size_t(w) * c); row += 2)
    for (int j = 0; j < w; j += 2)
      for (int k = 0; k < c; ++k) out.push_back(x[(row * w + j) * c + k]);
  static_cast<void>(h);
  return out;
}
// Each pixel four times; (h, w) is what comes out.
inline Values doubled(const Values& x, int h, int w, int c) {
  Values out;
  for (size_t row = 0; row < x.size() / (size_t(w) / 2 * c) * 2; ++row)
    for (int j = 0; j < w; ++j)
      for (int k = 0; k < c; ++k) out.push_back(x[(row / 2 * (w / 2) + j / 2) * c + k]);
  static_cast<void>(h);
  return out;
}

struct ConvSm80Tensors {
  ConvSm80Tensors(const ConvSm80Shape& s, int n) {
    const ConvShape& c = s.conv;
    const size_t pixels = size_t(n) * c.out_h() * c.out_w();
    x = stored<bf16>(random_values(size_t(n) * c.h * c.w * c.c, 1));
    if (s.upsampled) x = doubled(halved(x, c.h, c.w, c.c), c.h, c.w, c.c);
    w = stored<float>(random_values(c.weights(), 2));
    dy = stored<bf16>(random_values(pixels * c.k, 3));
    bias = stored<float>(random_values(c.k, 4));
    temb = stored<float>(random_values(size_t(n) * c.k, 5));
    residual = stored<bf16>(random_values(pixels * c.k, 6));
    shortcut = stored<bf16>(random_values(pixels * s.shortcut_c, 7));
    v = stored<float>(random_values(size_t(c.k) * s.shortcut_c, 8));
  }
  // Those of image i of n, alone.
  ConvSm80Tensors image(int i, int n) const {
    ConvSm80Tensors one = *this;
    for (Values* values : {&one.x, &one.dy, &one.temb, &one.residual, &one.shortcut}) {
      const auto size = static_cast<ptrdiff_t>(values->size() / n);
      *values = Values(values->begin() + i * size, values->begin() + (i + 1) * size);
    }
    return one;
  }
  Values x, w, dy, bias, temb, residual, shortcut, v;
};

class ConvSm80Layer {
 public:
  ConvSm80Layer(Stream& stream, const ConvSm80Shape& shape, int n, const ConvSm80Tensors& host)
      : stream_(stream),
        shape_(shape),
        n_(n),
        x_(stream, of_x(host.x, 0)),
        x1_(stream, of_x(host.x, 1)),
        s_(stream, of_shortcut(host.shortcut, 0)),
        s1_(stream, of_shortcut(host.shortcut, 1)),
        packed_(stream, conv_sm80_packed_bytes(shape) / 2),
        dy_(stream, host.dy),
        bias_(stream, host.bias),
        temb_(stream, host.temb),
        residual_(stream, host.residual) {
    DeviceArray<float> w(stream, host.w), v(stream, host.v.empty() ? Values(1) : host.v);
    conv_sm80_pack(stream, packed_, w, shape.shortcut_c ? v.data() : nullptr, shape);
    stream.synchronize();
  }

  // parts: bit 0 bias, 1 time embedding, 2 residual, 3 scale.
  DeviceArray<bf16>& forward(int parts = 0, float* moments = nullptr) {
    ConvSm80Epilogue e;
    if (parts & 1) e.bias = bias_;
    if (parts & 2) e.temb = temb_, e.temb_stride = shape_.conv.k;
    if (parts & 4) e.residual = residual_;
    if (parts & 8) e.scale = 0.7f;
    e.moments = moments;
    y_ = std::make_unique<DeviceArray<bf16>>(stream_, dy_.size());
    conv_sm80_forward(stream_, *y_, input(), packed_, e, shape_, n_);
    return *y_;
  }
  void backward_data(const ConvSm80DataGradient& gradient) {
    conv_sm80_backward_data(stream_, gradient, dy_, packed_, shape_, n_);
  }
  void backward_shortcut(const ConvSm80DataGradient& gradient) {
    conv_sm80_backward_shortcut(stream_, gradient, dy_, packed_, shape_, n_);
  }
  // Of images [first, first + n).
  void backward_weight(const ConvSm80WeightGradients& gradients, int first, int n) {
    const ConvShape& c = shape_.conv;
    const auto image = [&](const DeviceArray<bf16>& a) { return a + a.size() / n_ * first; };
    const ConvSm80Input in{image(x_), image(x1_), image(s_), image(s1_)};
    DeviceArray<float> workspace(stream_, conv_sm80_backward_weight_workspace(shape_, n) / 4 + 1);
    conv_sm80_backward_weight(stream_, gradients, dy_ + size_t(first) * c.out_h() * c.out_w() * c.k, in, shape_, n,
                              workspace);
    stream_.synchronize();
  }
  void backward_weight(const ConvSm80WeightGradients& gradients) { backward_weight(gradients, 0, n_); }

 private:
  Values of_x(const Values& x, int part) const {
    const ConvShape& c = shape_.conv;
    const Values one = shape_.upsampled ? halved(x, c.h, c.w, c.c) : x;
    if (!shape_.first_c) return part ? Values(n_) : one;
    return part ? channels(one, c.c, shape_.first_c, c.c) : channels(one, c.c, 0, shape_.first_c);
  }
  Values of_shortcut(const Values& s, int part) const {
    const int c = shape_.shortcut_c, first = shape_.shortcut_first_c;
    if (!c || (part && !first)) return Values(n_);
    if (!first) return s;
    return part ? channels(s, c, first, c) : channels(s, c, 0, first);
  }
  ConvSm80Input input() const { return {x_, x1_, s_, s1_}; }

  Stream& stream_;
  ConvSm80Shape shape_;
  int n_;
  DeviceArray<bf16> x_, x1_, s_, s1_, packed_, dy_;
  DeviceArray<float> bias_, temb_;
  DeviceArray<bf16> residual_;
  std::unique_ptr<DeviceArray<bf16>> y_;
};

}  // namespace ito::test
