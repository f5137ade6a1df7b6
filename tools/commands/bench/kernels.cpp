// SPDX-License-Identifier: Apache-2.0
// ito bench kernels: every op of the tests' lists of cases as a program of one op, forward and backward apart, and the
// products of the matrix seam, beside a copy and a product that are measured in the same run. The cases are the tests'
// own, so that what is timed is tested.
#include <cstdio>
#include <functional>

#include "engine/io/input_file.h"
#include "engine/ops/ops.h"
#include "engine/program/compute_type.h"
#include "engine/program/cost.h"
#include "tests/cases/attention.h"
#include "tests/cases/conv.h"
#include "tests/cases/gemm.h"
#include "tests/cases/group_norm.h"
#include "tests/cases/linear.h"
#include "tests/cases/mixture.h"
#include "tests/cases/pointwise.h"
#include "tests/cases/resample.h"
#include "tools/commands/bench/ceilings.h"
#include "tools/commands/bench/options.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

// An op at some sizes: appends the op to a program of n images and returns its result.
struct OpCase {
  int n;
  std::string sizes;
  std::function<Value(Program&)> append;
  Cost forward{}, backward{};  // what the program's count leaves out
};

Value differentiable(Program& p, const char* name, int h, int w, int c, DType type) {
  return p.input(name, h, w, c, type, true);
}

// The tests' sizes, then n images of a larger model's.
template <class T>
std::vector<T> joined(std::vector<T> cases, const std::vector<T>& more) {
  cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

std::vector<OpCase> conv_ops(int n) {
  std::vector<OpCase> ops;
  for (const auto& [s, images] : joined(cases::conv_cases(), cases::model_conv_cases(n))) {
    if (s.r != s.s || s.pad_top != s.pad_left || s.pad_bottom != s.pad_right) continue;  // no op has these
    Conv2dOptions options;
    options.k = s.k, options.kernel = s.r, options.stride = s.stride;
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

struct BenchedOp {
  const char* name;
  std::vector<OpCase> (*cases)(int n);  // n: images of the larger ones
};
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
constexpr const char* kGemm = "gemm";  // no op: a product that attention is made of

// Times of one pass, and what it is counted as.
Json pass_json(const char* pass, const Spread& spread, const Cost& cost, const Roofline& roofline) {
  Json line = seconds_json(spread);
  line.update({{"pass", pass},
               {"flop", cost.flop},
               {"bytes", cost.bytes},
               {"flop_per_second", cost.flop / spread.median()},
               {"bytes_per_second", cost.bytes / spread.median()},
               {"of_roofline", roofline.least_seconds(cost.flop, cost.bytes) / spread.median()}});
  return line;
}

struct CaseCosts {
  Cost forward, backward;
};

// Of a finished program of the case.
CaseCosts costs_of(const OpCase& op, const Program& program) {
  CaseCosts costs{cost_of(program, Part::Forward), cost_of(program, Part::Data)};
  costs.forward += op.forward;
  costs.backward += cost_of(program, Part::Weight);
  costs.backward += op.backward;
  return costs;
}

std::vector<Json> measure_case(const OpCase& op, const BenchOptions& o, const Roofline& roofline) {
  Program program({.n = op.n, .mode = Mode::Training, .compute = compute_type_of(o.precision, "--precision")});
  program.set_output(op.append(program));
  program.finish();
  const size_t floats = static_cast<size_t>(program.layout().arena_floats());
  DeviceBuffer<float> weights(std::max<size_t>(floats, 1), "weights"),
      gradients(std::max<size_t>(floats, 1), "gradients");
  Stream stream("bench");
  if (floats) weights.upload(stream, initial_weights(program.layout(), 1).data());
  program.bind(weights.data(), gradients.data());
  for (const Value v : program.ops().front()->inputs)
    fill_random(stream, program.data(v), static_cast<size_t>(program.info(v).count()));
  const Value result = program.output();
  fill_random(stream, program.gradient(result), static_cast<size_t>(program.info(result).count()));
  program.pack(stream);
  const Spread forward = time_launches(stream, o.repetitions, [&] { program.forward(stream); });
  const Spread backward = time_launches(stream, o.repetitions, [&] { program.backward(stream); });
  const CaseCosts costs = costs_of(op, program);
  return {pass_json("forward", forward, costs.forward, roofline),
          pass_json("backward", backward, costs.backward, roofline)};
}

Cost product_cost(const GemmShape& s, DType type) {
  const double mn = 1.0 * s.m * s.n, mk = 1.0 * s.m * s.k, kn = 1.0 * s.k * s.n;
  return {2 * s.batch * mn * s.k, static_cast<double>(size_of(type)) * s.batch * (mn + mk + kn)};
}

std::string sizes_of(const GemmShape& s) {
  return join_text(s.m, "x", s.k, " by ", s.k, "x", s.n, s.transpose_a ? ", A'" : "", s.transpose_b ? ", B'" : "");
}

// A product of the seam, all matrices in the network's type.
Json measure_product(const GemmShape& s, const BenchOptions& o, const Roofline& roofline) {
  const DType type = compute_type_of(o.precision, "--precision");
  Stream stream("bench");
  const auto matrices = [&](int64_t distance, const char* what) {
    const auto count = static_cast<size_t>(distance * s.batch);
    DeviceBuffer<char> buffer(count * size_of(type), what);
    fill_random(stream, {buffer.data(), type}, count);
    return buffer;
  };
  const DeviceBuffer<char> a = matrices(s.stride_a, "A"), b = matrices(s.stride_b, "B");
  DeviceBuffer<char> c = matrices(s.stride_c, "C");
  const Spread spread = time_launches(stream, o.repetitions, [&] {
    gemm(stream, {c.data(), type}, Write::Set, {a.data(), type}, {b.data(), type}, s);
  });
  return pass_json("product", spread, product_cost(s, type), roofline);
}

void print_case(const Json& line) {
  const auto number = [&](const char* key) { return line.at(key).get<double>(); };
  std::printf("%-12s %-8s %10.2f (%.2f to %.2f) us %9.2f GB/s %9.3f TFLOP/s %6.3f of the roofline  %d of %s\n",
              line.at("op").get<std::string>().c_str(), line.at("pass").get<std::string>().c_str(),
              1e6 * number("seconds"), 1e6 * number("least_seconds"), 1e6 * number("most_seconds"),
              1e-9 * number("bytes_per_second"), 1e-12 * number("flop_per_second"), number("of_roofline"),
              line.at("images").get<int>(), line.at("sizes").get<std::string>().c_str());
}

}  // namespace

void check_kernel_name(const std::string& name) {
  std::vector<std::string> names;
  for (const BenchedOp& op : kOps) names.emplace_back(op.name);
  names.emplace_back(kGemm);
  if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) return;
  std::string list;
  for (const std::string& known : names) list += (list.empty() ? "" : ", ") + known;
  fail<UserError>("bench kernels ", quote_name(name), ": expected one of ", list, did_you_mean(name, names));
}

void measure_kernels(const BenchOptions& o) {
  const Roofline roofline =
      measure_roofline(compute_type_of(o.precision, "--precision"), std::min(o.repetitions, 5), o.largest);
  Json all = machine();
  all.update({{"what", "kernels"},
              {"precision", o.precision},
              {"repetitions", o.repetitions},
              {"roofline", roofline.json()},
              {"kernels_timed", Json::array()}});
  const auto wanted = [&](const char* name) { return o.name.empty() || o.name == name; };
  const auto report = [&](const char* op, int images, const std::string& sizes, Json line) {
    line.update({{"op", op}, {"images", images}, {"sizes", sizes}});
    if (!o.json) print_case(line);
    all["kernels_timed"].push_back(std::move(line));
  };
  for (const BenchedOp& op : kOps) {
    if (!wanted(op.name)) continue;
    for (const OpCase& one : op.cases(o.batch))
      for (Json& line : measure_case(one, o, roofline)) report(op.name, one.n, one.sizes, std::move(line));
  }
  if (wanted(kGemm))
    for (const GemmShape& s : joined(cases::gemm_shapes(), cases::model_gemm_shapes(o.batch)))
      report(kGemm, s.batch, sizes_of(s), measure_product(s, o, roofline));
  if (o.json) print_json(all);
}

// The cases of a larger model are those that change with the number of images. No tensor of theirs is allocated and
// nothing is timed: the numbers follow from shapes and are the same on any device.
void count_kernels(const BenchOptions& o) {
  const DType type = compute_type_of(o.precision, "--precision");
  Json all = {{"what", "kernels"}, {"precision", o.precision}, {"counted", Json::array()}};
  const auto wanted = [&](const char* name) { return o.name.empty() || o.name == name; };
  const auto report = [&](const char* op, const char* pass, int images, const std::string& sizes, const Cost& cost) {
    if (!o.json)
      std::printf("%-12s %-8s %16.0f bytes %16.0f flop  %d of %s\n", op, pass, cost.bytes, cost.flop, images,
                  sizes.c_str());
    all["counted"].push_back({{"op", op},
                              {"pass", pass},
                              {"images", images},
                              {"sizes", sizes},
                              {"flop", static_cast<int64_t>(cost.flop)},
                              {"bytes", static_cast<int64_t>(cost.bytes)}});
  };
  for (const BenchedOp& op : kOps) {
    if (!wanted(op.name)) continue;
    const std::vector<OpCase> others = op.cases(o.batch + 1);
    for (const OpCase& one : op.cases(o.batch)) {
      const auto same = [&](const OpCase& other) { return other.n == one.n && other.sizes == one.sizes; };
      if (std::any_of(others.begin(), others.end(), same)) continue;
      Program program({.n = one.n, .mode = Mode::Training, .compute = type});
      program.set_output(one.append(program));
      program.finish();
      const CaseCosts costs = costs_of(one, program);
      report(op.name, "forward", one.n, one.sizes, costs.forward);
      report(op.name, "backward", one.n, one.sizes, costs.backward);
    }
  }
  if (wanted(kGemm))
    for (const GemmShape& s : cases::model_gemm_shapes(o.batch))
      report(kGemm, "product", s.batch, sizes_of(s), product_cost(s, type));
  if (o.json) print_json(all);
}

}  // namespace ito
