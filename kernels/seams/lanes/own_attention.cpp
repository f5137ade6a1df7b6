// SPDX-License-Identifier: Apache-2.0
// See own_attention.h.
#include "kernels/seams/lanes/own_attention.h"

#include <algorithm>

#include "kernels/nn/attention.h"
#include "kernels/nn/softmax_rows.h"
#include "kernels/seams/gemm.h"

namespace ito {
namespace {

void check(const char* what, const AttentionShape& s) {
  ITO_CHECK(s.n >= 0 && s.n <= 65535 && s.heads > 0 && s.heads <= 65535 && s.tokens > 0, what, ": n=", s.n,
            " heads=", s.heads, " tokens=", s.tokens, ", expected positive sizes, images and heads at most 65535");
  ITO_CHECK(s.head_dim > 0 && s.head_dim <= kMaxHeadDim, what, ": head_dim=", s.head_dim, ", expected 1 to ",
            kMaxHeadDim);
}

// Distances in a matrix of scores (images, heads, tokens, pitch): rows begin at multiples of 64 bytes.
struct Scores {
  int64_t pitch, head, image;
  explicit Scores(const AttentionShape& s)
      : pitch(ceil_div(s.tokens, 16) * 16), head(s.tokens * pitch), image(s.heads * head) {}
};

// Matrices of scores one behind another: `wide` in fp32, and as many in the storage type, which in fp32 are the same.
class Workspace {
 public:
  Workspace(const AttentionShape& shape, DType type, int images, int matrices, void* memory)
      : type_(type),
        matrices_(matrices),
        wide_bytes_(aligned(sizeof(float) * images * Scores(shape).image)),
        stored_bytes_(type == DType::F32 ? 0 : aligned(size_of(type) * images * Scores(shape).image)),
        memory_(static_cast<char*>(memory)) {}
  size_t bytes() const { return matrices_ * (wide_bytes_ + stored_bytes_); }
  float* wide(int i) const { return reinterpret_cast<float*>(memory_ + i * wide_bytes_); }
  DataRef stored(int i) const {
    if (type_ == DType::F32) return wide(i);
    return {memory_ + matrices_ * wide_bytes_ + i * stored_bytes_, type_};
  }

 private:
  DType type_;
  int matrices_;
  size_t wide_bytes_, stored_bytes_;
  char* memory_;
};

// Images first to first + n of an attention, whose products are one call a head.
class Group {
 public:
  Group(Stream& stream, const AttentionShape& shape, int first, int n)
      : stream_(stream), shape_(shape), scores_(shape), first_(first), n_(n) {}

  SoftmaxRows rows() const { return {int64_t{1} * n_ * shape_.heads * shape_.tokens, shape_.tokens, scores_.pitch}; }
  int64_t first_row() const { return int64_t{1} * first_ * shape_.heads * shape_.tokens; }  // of lse

  // scores = alpha a b^T of two tensors of tokens.
  void score(float* scores, ConstDataRef a, ConstDataRef b, float alpha) const {
    GemmShape s = product(shape_.tokens, shape_.tokens, shape_.head_dim);
    s.transpose_b = true;
    s.lda = s.ldb = row();
    s.stride_a = s.stride_b = image();
    s.ldc = scores_.pitch;
    s.stride_c = scores_.image;
    s.alpha = alpha;
    for (int head = 0; head < shape_.heads; ++head)
      gemm(stream_, scores + head * scores_.head, Write::Set, tokens(a, head), tokens(b, head), s);
  }

  // out = p b, or p^T b: a tensor of tokens by a matrix of scores.
  void apply(DataRef out, ConstDataRef p, bool transpose, ConstDataRef b) const {
    GemmShape s = product(shape_.tokens, shape_.head_dim, shape_.tokens);
    s.transpose_a = transpose;
    s.lda = scores_.pitch;
    s.stride_a = scores_.image;
    s.ldb = s.ldc = row();
    s.stride_b = s.stride_c = image();
    for (int head = 0; head < shape_.heads; ++head)
      gemm(stream_, tokens(out, head), Write::Set, moved(p, head * scores_.head), tokens(b, head), s);
  }

 private:
  int64_t row() const { return int64_t{1} * shape_.heads * shape_.head_dim; }  // elements between tokens
  int64_t image() const { return shape_.tokens * row(); }

  GemmShape product(int m, int n, int k) const {
    GemmShape s;
    s.m = m, s.n = n, s.k = k, s.batch = n_;
    return s;
  }
  static ConstDataRef moved(ConstDataRef data, int64_t elements) {
    return {static_cast<const char*>(data.data) + elements * static_cast<int64_t>(size_of(data.type)), data.type};
  }
  ConstDataRef tokens(ConstDataRef data, int head) const {
    return moved(data, first_ * image() + int64_t{1} * head * shape_.head_dim);
  }
  DataRef tokens(DataRef data, int head) const {
    return {const_cast<void*>(tokens(ConstDataRef(data), head).data), data.type};
  }

  Stream& stream_;
  const AttentionShape& shape_;
  Scores scores_;
  int first_, n_;
};

// Calls f(group) for images at most `images` at a time.
template <class F>
void for_groups(Stream& stream, const AttentionShape& shape, int images, F&& f) {
  for (int first = 0; first < shape.n; first += images)
    f(Group(stream, shape, first, std::min(images, shape.n - first)));
}

size_t workspace_bytes(const AttentionShape& shape, DType type, int matrices, size_t most_scores) {
  return Workspace(shape, type, own_attention_images(shape, most_scores), matrices, nullptr).bytes();
}

}  // namespace

int own_attention_images(const AttentionShape& shape, size_t most_scores) {
  const int64_t fit = static_cast<int64_t>(most_scores / sizeof(float)) / Scores(shape).image;
  return static_cast<int>(std::min<int64_t>(fit, std::max(shape.n, 1)));
}

size_t own_attention_forward_workspace(const AttentionShape& shape, DType type, size_t most_scores) {
  return workspace_bytes(shape, type, 1, most_scores);
}

void own_attention_forward(Stream& stream, DataRef out, float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                           const AttentionShape& shape, void* workspace, size_t most_scores) {
  check("attention_forward", shape);
  const int images = own_attention_images(shape, most_scores);
  if (images == 0) return attention_portable_forward(stream, out, lse, q, k, v, shape);
  const Workspace scores(shape, out.type, images, 1, workspace);
  for_groups(stream, shape, images, [&](const Group& group) {
    group.score(scores.wide(0), q, k, shape.scale);
    softmax_rows_forward(stream, scores.stored(0), lse + group.first_row(), scores.wide(0), group.rows());
    group.apply(out, scores.stored(0), false, v);
  });
}

size_t own_attention_backward_workspace(const AttentionShape& shape, DType type, size_t most_scores) {
  if (own_attention_images(shape, most_scores) == 0) return attention_portable_workspace(shape);
  return workspace_bytes(shape, type, 2, most_scores);
}

void own_attention_backward(Stream& stream, DataRef dq, DataRef dk, DataRef dv, ConstDataRef dout, ConstDataRef out,
                            const float* lse, ConstDataRef q, ConstDataRef k, ConstDataRef v,
                            const AttentionShape& shape, void* workspace, size_t most_scores) {
  check("attention_backward", shape);
  const int images = own_attention_images(shape, most_scores);
  if (images == 0) return attention_portable_backward(stream, dq, dk, dv, dout, out, lse, q, k, v, shape, workspace);
  const Workspace scores(shape, dout.type, images, 2, workspace);
  const DataRef p = scores.stored(0), ds = scores.stored(1);
  for_groups(stream, shape, images, [&](const Group& group) {
    group.score(scores.wide(0), q, k, shape.scale);
    group.score(scores.wide(1), dout, v, 1.0f);
    softmax_rows_backward(stream, p, ds, scores.wide(0), scores.wide(1), lse + group.first_row(), group.rows(),
                          shape.scale);
    group.apply(dv, p, true, dout);
    group.apply(dq, ds, false, k);
    group.apply(dk, ds, true, q);
  });
}

}  // namespace ito
