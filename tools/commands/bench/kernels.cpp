// SPDX-License-Identifier: Apache-2.0
// ito bench kernels: every op of the tests' lists of cases as a program of one op, forward and backward apart, beside a
// copy and a product that are measured in the same run. The cases are the tests' own, so that what is timed is tested.
#include <cstdio>
#include <functional>

#include "engine/io/input_file.h"
#include "engine/ops/ops.h"
#include "engine/program/compute_type.h"
#include "engine/program/cost.h"
#include "tests/cases/attention.h"
#include "tests/cases/conv.h"
#include "tests/cases/group_norm.h"
#include "tests/cases/linear.h"
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

std::vector<OpCase> linear_ops(int) {
  std::vector<OpCase> ops;
  for (const LinearShape& s : cases::linear_shapes())
    ops.push_back({s.n, join_text(s.c, " to ", s.k, s.silu_input ? ", silu" : ""), [s](Program& p) {
                     return linear_rows(p, "op", differentiable(p, "x", 1, 1, s.c, DType::F32), s.k, s.silu_input);
                   }});
  return ops;
}

std::vector<OpCase> silu_ops(int) {
  std::vector<OpCase> ops;
  for (const cases::Rows& r : cases::kRows)
    ops.push_back({r.n, join_text(r.hw, "x", r.c), [r](Program& p) {
                     return silu(p, "op", differentiable(p, "x", r.hw, 1, r.c, p.options().compute));
                   }});
  return ops;
}

std::vector<OpCase> add_ops(int) {
  std::vector<OpCase> ops;
  for (const cases::Rows& r : cases::kRows)
    ops.push_back({r.n, join_text(r.hw, "x", r.c), [r](Program& p) {
                     const Value a = differentiable(p, "a", r.hw, 1, r.c, p.options().compute);
                     return add(p, "op", a, differentiable(p, "b", r.hw, 1, r.c, p.options().compute));
                   }});
  return ops;
}

std::vector<OpCase> upsample_ops(int) {
  std::vector<OpCase> ops;
  for (const cases::Resample& r : cases::kResample)
    ops.push_back({r.n, join_text(r.h, "x", r.w, "x", r.c), [r](Program& p) {
                     return upsample_nearest(p, "op", differentiable(p, "x", r.h, r.w, r.c, p.options().compute));
                   }});
  return ops;
}

struct BenchedOp {
  const char* name;
  std::vector<OpCase> (*cases)(int n);  // n: images of the larger ones
};
constexpr BenchedOp kOps[] = {{"conv2d", conv_ops},         {"group_norm", group_norm_ops},
                              {"attention", attention_ops}, {"linear", linear_ops},
                              {"silu", silu_ops},           {"add", add_ops},
                              {"upsample", upsample_ops}};

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
  Cost gradient = cost_of(program, Part::Data);
  gradient += cost_of(program, Part::Weight);
  return {pass_json("forward", forward, cost_of(program, Part::Forward), roofline),
          pass_json("backward", backward, gradient, roofline)};
}

void print_case(const Json& line) {
  const auto number = [&](const char* key) { return line.at(key).get<double>(); };
  std::printf("%-10s %-8s %10.2f (%.2f to %.2f) us %9.2f GB/s %9.3f TFLOP/s %6.3f of the roofline  %d of %s\n",
              line.at("op").get<std::string>().c_str(), line.at("pass").get<std::string>().c_str(),
              1e6 * number("seconds"), 1e6 * number("least_seconds"), 1e6 * number("most_seconds"),
              1e-9 * number("bytes_per_second"), 1e-12 * number("flop_per_second"), number("of_roofline"),
              line.at("images").get<int>(), line.at("sizes").get<std::string>().c_str());
}

}  // namespace

void check_kernel_name(const std::string& name) {
  std::vector<std::string> names;
  for (const BenchedOp& op : kOps) names.emplace_back(op.name);
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
  for (const BenchedOp& op : kOps) {
    if (!o.name.empty() && o.name != op.name) continue;
    for (const OpCase& one : op.cases(o.batch))
      for (Json line : measure_case(one, o, roofline)) {
        line.update({{"op", op.name}, {"images", one.n}, {"sizes", one.sizes}});
        if (!o.json) print_case(line);
        all["kernels_timed"].push_back(std::move(line));
      }
  }
  if (o.json) print_json(all);
}

}  // namespace ito
