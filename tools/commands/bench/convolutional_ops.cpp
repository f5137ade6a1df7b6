// SPDX-License-Identifier: Apache-2.0
// Ops of convolutional networks, and those that every network has.
#include "engine/ops/ops.h"
#include "tests/cases/attention.h"
#include "tests/cases/conv.h"
#include "tests/cases/group_norm.h"
#include "tests/cases/linear.h"
#include "tests/cases/mixture.h"
#include "tests/cases/pointwise.h"
#include "tests/cases/resample.h"
#include "tools/commands/bench/op_cases.h"

namespace ito {
namespace {

std::vector<OpCase> conv_ops(int n) {
  std::vector<OpCase> ops;
  for (const auto& [s, images] : joined(cases::conv_cases(), cases::model_conv_cases(n))) {
    Conv2dOptions options;
    options.k = s.k, options.r = s.r, options.s = s.s, options.stride = s.stride;
    options.pad_top = s.pad_top, options.pad_left = s.pad_left;
    options.pad_bottom = s.pad_bottom, options.pad_right = s.pad_right;
    ops.push_back({images, join_text(s.h, "x", s.w, "x", s.c, " to ", s.k, ", ", s.r, "x", s.s, " stride ", s.stride),
                   [s = s, options](Program& p) {
                     const DType type = p.options().compute;
                     return conv2d(p, "op", differentiable(p, "x", s.h, s.w, s.c, type), options);
                   }});
  }
  return ops;
}

std::vector<OpCase> group_norm_ops(int n) {
  std::vector<OpCase> ops;
  for (const cases::GroupNormCase& c : joined(cases::group_norm_cases(), cases::model_group_norm_cases(n)))
    ops.push_back({c.n,
                   join_text(c.hw, "x", c.c, ", ", c.groups, " groups", c.silu ? ", silu" : "", c.temb ? ", temb" : "",
                             c.scale_shift ? ", scale and shift" : ""),
                   [c](Program& p) {
                     GroupNormOptions options{.groups = c.groups, .silu = c.silu};
                     if (c.temb) options.temb = differentiable(p, "temb", 1, 1, c.c, DType::F32);
                     if (c.scale_shift) options.scale_shift = differentiable(p, "scales", 1, 1, 2 * c.c, DType::F32);
                     return group_norm(p, "op", differentiable(p, "x", c.hw, 1, c.c, p.options().compute), options);
                   }});
  return ops;
}

std::vector<OpCase> attention_ops(int n) {
  std::vector<OpCase> ops;
  for (const AttentionShape& s : joined(cases::attention_shapes(), cases::model_attention_shapes(n)))
    ops.push_back({s.n, join_text(s.tokens, " tokens, ", s.heads, " heads of ", s.head_dim), [s](Program& p) {
                     const auto rows = [&](const char* name) {
                       return differentiable(p, name, s.tokens, 1, s.heads * s.head_dim, p.options().compute);
                     };
                     const Value q = rows("q"), k = rows("k"), v = rows("v");
                     return attention(p, "op", q, k, v, s.heads);
                   }});
  return ops;
}

std::vector<OpCase> linear_ops(int n) {
  std::vector<OpCase> ops;
  for (const LinearShape& s : joined(cases::linear_shapes(), cases::model_linear_shapes(n)))
    ops.push_back({s.n, join_text(s.c, " to ", s.k, s.silu_input ? ", silu" : ""), [s](Program& p) {
                     return linear_rows(p, "op", differentiable(p, "x", 1, 1, s.c, DType::F32), s.k, s.silu_input);
                   }});
  return ops;
}

std::vector<OpCase> silu_ops(int n) {
  std::vector<OpCase> ops;
  for (const cases::Rows& r : joined(cases::kRows, cases::model_rows(n)))
    ops.push_back({r.n, join_text(r.hw, "x", r.c), [r](Program& p) {
                     return silu(p, "op", differentiable(p, "x", r.hw, 1, r.c, p.options().compute));
                   }});
  return ops;
}

std::vector<OpCase> add_ops(int n) {
  std::vector<OpCase> ops;
  for (const cases::Rows& r : joined(cases::kRows, cases::model_rows(n)))
    ops.push_back({r.n, join_text(r.hw, "x", r.c), [r](Program& p) {
                     const Value a = differentiable(p, "a", r.hw, 1, r.c, p.options().compute);
                     return add(p, "op", a, differentiable(p, "b", r.hw, 1, r.c, p.options().compute));
                   }});
  return ops;
}

std::vector<OpCase> affine_ops(int n) {
  std::vector<OpCase> ops;
  for (const cases::Rows& r : joined(cases::kRows, cases::model_rows(n)))
    ops.push_back({r.n, join_text(r.hw, "x", r.c), [r](Program& p) {
                     return affine(p, "op", differentiable(p, "x", r.hw, 1, r.c, p.options().compute), 2.0f, -1.0f);
                   }});
  return ops;
}

std::vector<OpCase> divide_rows_ops(int n) {
  std::vector<OpCase> ops;
  for (const cases::Rows& r : joined(cases::kRows, cases::model_rows(n)))
    ops.push_back({r.n, join_text(r.hw, "x", r.c), [r](Program& p) {
                     const Value x = differentiable(p, "x", r.hw, 1, r.c, p.options().compute);
                     return divide_rows(p, "op", x, p.input("t", 1, 1, 1, DType::F32));
                   }});
  return ops;
}

using Resampling = Value (*)(Program&, const std::string&, Value);

template <class Sizes>
std::vector<OpCase> resampled(const Sizes& sizes, Resampling op) {
  std::vector<OpCase> ops;
  for (const auto& r : sizes)
    ops.push_back({r.n, join_text(r.h, "x", r.w, "x", r.c), [r, op](Program& p) {
                     return op(p, "op", differentiable(p, "x", r.h, r.w, r.c, p.options().compute));
                   }});
  return ops;
}
std::vector<OpCase> resample_ops(int n, Resampling op) {
  return resampled(joined(cases::kResample, cases::model_resample_cases(n)), op);
}
std::vector<OpCase> upsample_ops(int n) {
  return resample_ops(n, upsample_nearest);
}
std::vector<OpCase> average_pool_ops(int n) {
  return resample_ops(n, average_pool);
}

std::vector<OpCase> fir_ops(int n, Resampling op) {
  return resampled(joined(cases::kFir, cases::model_fir_cases(n)), op);
}
std::vector<OpCase> fir_upsample_ops(int n) {
  return fir_ops(n, fir_upsample);
}
std::vector<OpCase> fir_downsample_ops(int n) {
  return fir_ops(n, fir_downsample);
}

std::vector<OpCase> concat_ops(int n) {
  std::vector<OpCase> ops;
  for (const cases::Concat& c : joined(cases::kConcat, cases::model_concat_cases(n)))
    ops.push_back({c.rows, join_text(c.ca, " and ", c.cb), [c](Program& p) {
                     const Value a = differentiable(p, "a", 1, 1, c.ca, p.options().compute);
                     return concat_channels(p, "op", a, differentiable(p, "b", 1, 1, c.cb, p.options().compute));
                   }});
  return ops;
}

// Its operations are in double: the roofline, which is of the network's type, is not theirs.
std::vector<OpCase> mixture_ops(int n) {
  std::vector<OpCase> ops;
  for (const MixtureShape& s : joined(cases::mixture_shapes(), cases::model_mixture_shapes(n))) {
    // An element of a component: an offset and a variance of two operations each in every walk, a division as one, and
    // the logarithm's product; forward two walks, backwards three. Its mean and variance are read.
    const double numbers = 1.0 * s.components * static_cast<double>(s.size), tables = 2 * sizeof(double) * numbers;
    ops.push_back({s.n,
                   join_text(s.components, " components of ", s.size),
                   [s](Program& p) {
                     const auto size = static_cast<int>(s.size);
                     const size_t all = static_cast<size_t>(s.components) * static_cast<size_t>(s.size);
                     MixtureConstants constants{
                         std::vector<double>(static_cast<size_t>(s.components)), {}, std::vector<double>(all, 1.0)};
                     for (size_t i = 0; i < all; ++i) constants.means.push_back(static_cast<double>(i % 17) / 8 - 1);
                     const Value x = differentiable(p, "x", 1, 1, size, p.options().compute);
                     return gaussian_mixture(p, "op", x, p.input("level", 1, 1, kLevelWidth, DType::F32), {},
                                             constants);
                   },
                   {15 * s.n * numbers, tables},
                   {24 * s.n * numbers, tables}});
  }
  return ops;
}

constexpr BenchedOp kOps[] = {{"conv2d", conv_ops},
                              {"group_norm", group_norm_ops},
                              {"attention", attention_ops},
                              {"linear", linear_ops},
                              {"silu", silu_ops},
                              {"add", add_ops},
                              {"affine", affine_ops},
                              {"divide_rows", divide_rows_ops},
                              {"upsample", upsample_ops},
                              {"average_pool", average_pool_ops},
                              {"fir_upsample", fir_upsample_ops},
                              {"fir_downsample", fir_downsample_ops},
                              {"concat", concat_ops},
                              {"mixture", mixture_ops}};

}  // namespace

std::span<const BenchedOp> convolutional_ops() {
  return kOps;
}

}  // namespace ito
