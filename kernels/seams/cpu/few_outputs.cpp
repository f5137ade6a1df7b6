// SPDX-License-Identifier: Apache-2.0
// See few_outputs.h. An image a call; taps are added in the order of the filter, so every batch has the same bits.
#include "kernels/seams/cpu/few_outputs.h"

#include <algorithm>

#include "dialect.h"
#include "kernels/seams/cpu/conv_plan.h"
#include "kernels/seams/cpu/gemm_plan.h"

namespace ito {
namespace {

constexpr int kMostOutputs = 4;
constexpr int kLeastInputs = 32;

// Calls f(first pixel of the input, columns [begin, end) of the output) where output row i reads input row i + up.
template <class F>
void each_overlap(const ConvShape& s, int i, int up, int left, const F& f) {
  const int h = i + up;
  if (h < 0 || h >= s.h) return;
  const int begin = std::max(0, -left), end = std::min(s.out_w(), s.w - left);
  if (begin < end) f(int64_t{h} * s.w + left, begin, end);
}

float* scratch(int64_t floats) {
  return static_cast<float*>(onednn::thread_scratch(onednn::Scratch::Winograd, sizeof(float) * floats));
}

}  // namespace

bool FewOutputs::takes(const ConvShape& s) {
  return s.k <= kMostOutputs && s.c >= kLeastInputs && s.r * s.s > 1 && s.stride == 1;
}

FewOutputs::FewOutputs(const ConvShape& shape, DType type, bool weight_gradient) : shape_(shape), type_(type) {
  using onednn::Desc;
  const Desc masters({rows(), shape.c}, dnnl::memory::data_type::f32, onednn::Tag::ab);
  pack_ = onednn::plan_reorder(masters, Desc({rows(), shape.c}, onednn::data_type(type), onednn::Tag::ab));
  GemmShape s;
  s.m = rows(), s.n = static_cast<int>(pixels()), s.k = shape.c, s.transpose_b = true;
  product_ = onednn::plan_product(s, type, type, DType::F32, Write::Set);
  if (!weight_gradient) return;
  s.n = shape.c, s.k = static_cast<int>(pixels()), s.transpose_b = false;
  set_ = onednn::plan_product(s, type, type, DType::F32, Write::Set);
  add_ = onednn::plan_product(s, type, type, DType::F32, Write::Add);
}

size_t FewOutputs::packed_bytes() const {
  return size_of(type_) * rows() * shape_.c;
}

void FewOutputs::bind(void* packed) {
  packed_ = packed;
  product_.fix(0, packed);
}

void FewOutputs::pack(const float* weight) {
  const onednn::OneThread one;
  pack_.prepare(1);
  pack_.run(0, {weight, packed_});
}

void FewOutputs::forward(DataRef y, ConstDataRef x, const ConvEpilogue& e, int n) {
  product_.prepare(device_threads());
  by_type(type_, [&](auto tag) {
    using T = decltype(tag);
    const ConvShape& s = shape_;
    const int width = s.out_w();
    onednn::parallel_items(n, [&](int64_t image, int worker) {
      float* p = scratch(rows() * pixels() + width);
      float* sum = p + rows() * pixels();
      product_.run(worker, {nullptr, x.as<T>() + image * pixels() * s.c, p});
      for (int i = 0; i < s.out_h(); ++i) {
        const int64_t row = (image * s.out_h() + i) * width * s.k;
        for (int k = 0; k < s.k; ++k) {
          std::fill_n(sum, width, e.bias ? e.bias[k] : 0.0f);
          for (int r = 0; r < s.r; ++r) {
            for (int t = 0; t < s.s; ++t) {
              const float* tap = p + ((k * s.r + r) * s.s + t) * pixels();
              each_overlap(s, i, r - s.pad_top, t - s.pad_left, [&](int64_t from, int begin, int end) {
                for (int j = begin; j < end; ++j) sum[j] += tap[from + j];
              });
            }
          }
          T* out = y.as<T>() + row + k;
          const T* residual = e.residual ? e.residual.as<T>() + row + k : nullptr;
          for (int j = 0; j < width; ++j)
            out[j * s.k] = from_float<T>(e.scale * (sum[j] + (residual ? to_float(residual[j * s.k]) : 0.0f)));
        }
      }
    });
  });
}

void FewOutputs::prepare(int workers) {
  set_.prepare(workers);
  add_.prepare(workers);
}

void FewOutputs::backward_weight(int worker, float* dweight, float* dbias, const void* x, const void* dy, int images) {
  by_type(type_, [&](auto tag) {
    using T = decltype(tag);
    const ConvShape& s = shape_;
    const int64_t outputs = int64_t{1} * s.out_h() * s.out_w() * s.k;
    T* shifted = reinterpret_cast<T*>(scratch(rows() * pixels()));
    std::fill_n(dbias, s.k, 0.0f);
    for (int image = 0; image < images; ++image) {
      const T* gradient = static_cast<const T*>(dy) + image * outputs;
      std::fill_n(shifted, rows() * pixels(), T{});
      for (int row = 0; row < rows(); ++row) {
        const int k = row / (s.r * s.s), r = row / s.s % s.r, t = row % s.s;
        for (int i = 0; i < s.out_h(); ++i)
          each_overlap(s, i, r - s.pad_top, t - s.pad_left, [&](int64_t to, int begin, int end) {
            const T* from = gradient + int64_t{i} * s.out_w() * s.k + k;
            T* own = shifted + row * pixels() + to;
            for (int j = begin; j < end; ++j) own[j] = from[j * s.k];
          });
      }
      (image ? add_ : set_).run(worker, {shifted, static_cast<const T*>(x) + image * pixels() * s.c, dweight});
      for (int k = 0; k < s.k; ++k) {
        for (int i = 0; i < s.out_h(); ++i) {
          float sum = 0.0f;
          for (int j = 0; j < s.out_w(); ++j) sum += to_float(gradient[(int64_t{i} * s.out_w() + j) * s.k + k]);
          dbias[k] += sum;
        }
      }
    }
  });
}

}  // namespace ito
