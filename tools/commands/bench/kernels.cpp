// SPDX-License-Identifier: Apache-2.0
// ito bench kernels: every op of the tests' lists of cases as a program of one op, forward and backward apart, and the
// products of the matrix seam, beside a copy and a product that are measured in the same run. The cases are the tests'
// own, so that what is timed is tested.
#include <cstdio>

#include "engine/io/input_file.h"
#include "engine/program/compute_type.h"
#include "tests/cases/gemm.h"
#include "tools/commands/bench/ceilings.h"
#include "tools/commands/bench/op_cases.h"
#include "tools/commands/bench/options.h"
#include "tools/terminal/results.h"

namespace ito {
namespace {

// Every family's.
std::vector<BenchedOp> benched_ops() {
  std::vector<BenchedOp> ops;
  for (const auto family : {convolutional_ops, transformer_ops})
    ops.insert(ops.end(), family().begin(), family().end());
  return ops;
}
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
  for (const BenchedOp& op : benched_ops()) names.emplace_back(op.name);
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
  for (const BenchedOp& op : benched_ops()) {
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
  for (const BenchedOp& op : benched_ops()) {
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
