// SPDX-License-Identifier: Apache-2.0
// A sampler's row as plain fp64 loops: one element with the size of what it sums, and whole runs of a table with a
// network and noise in closed form. The kernel, and every sampler, are held against this.
#pragma once
#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <vector>

#include "kernels/diffusion/reverse_row.h"

namespace ito::ref {

// What one element of a row sees: the answer's two halves, the draw, and the registers' old values.
struct RowInput {
  double x = 0, pred = 0, v = 0, z = 0;
  double registers[kRegisters] = {};
};

struct RowOutput {
  double x0 = 0, eps = 0;
  double to[kWrites] = {};         // what is written, in the order of row.to
  double magnitude[kWrites] = {};  // sums of the absolute terms, down to x, pred, z and the registers
};

inline RowOutput reverse_element(const ReverseRow& row, const RowInput& in) {
  RowOutput out;
  out.x0 = row.x0_from_x * in.x + row.x0_from_pred * in.pred;
  const double x0_size = std::fabs(row.x0_from_x * in.x) + std::fabs(row.x0_from_pred * in.pred);
  const double bound = row.clip;
  if (bound > 0) out.x0 = std::min(std::max(out.x0, -bound), bound);
  out.eps = row.eps_from_x * in.x + row.eps_from_pred * in.pred + row.eps_from_x0 * out.x0;
  const double eps_size =
      std::fabs(row.eps_from_x * in.x) + std::fabs(row.eps_from_pred * in.pred) + std::fabs(row.eps_from_x0) * x0_size;
  double std = 1;
  if (row.log_variance_high != 0 || row.log_variance_low != 0) {
    const double f = (in.v + 1) / 2;
    std = std::exp(0.5 * (f * row.log_variance_high + (1 - f) * row.log_variance_low));
  }
  for (int w = 0; w < row.writes; ++w) {
    const float* weight = row.weight[w];
    const auto add = [&](double term, double size) { out.to[w] += term, out.magnitude[w] += size; };
    add(weight[kX] * in.x, std::fabs(weight[kX] * in.x));
    add(weight[kX0] * out.x0, std::fabs(weight[kX0]) * x0_size);
    add(weight[kEps] * out.eps, std::fabs(weight[kEps]) * eps_size);
    add(weight[kPred] * in.pred, std::fabs(weight[kPred] * in.pred));
    if (row.draw >= 0) add(weight[kNoise] * std * in.z, std::fabs(weight[kNoise] * std * in.z));
    for (int r = 0; r < kRegisters; ++r)
      if (row.reads >> r & 1)
        add(weight[kRegister0 + r] * in.registers[r], std::fabs(weight[kRegister0 + r] * in.registers[r]));
  }
  return out;
}

// A run of the table from x on: `network` of (the scaled input, timestep), `noise` of (element, draw). after_row(i)
// may look at the state. Rows are run in order; the writes of each are stored once all are known.
struct RowRun {
  std::vector<double> x;
  std::vector<std::vector<double>> registers;
};

inline void run_rows(const std::vector<ReverseRow>& rows, double first_input_scale, RowRun& run,
                     const std::function<double(double, double)>& network,
                     const std::function<double(size_t, int)>& noise,
                     const std::function<void(size_t)>& after_row = {}) {
  double input_scale = first_input_scale;
  for (size_t i = 0; i < rows.size(); ++i) {
    const ReverseRow& row = rows[i];
    for (size_t e = 0; e < run.x.size(); ++e) {
      RowInput in;
      in.x = run.x[e];
      in.pred = network(input_scale * in.x, row.timestep);
      in.z = row.draw >= 0 ? noise(e, row.draw) : 0;
      for (int r = 0; r < kRegisters; ++r)
        if (row.reads >> r & 1) in.registers[r] = run.registers.at(r).at(e);
      const RowOutput out = reverse_element(row, in);
      for (int w = 0; w < row.writes; ++w)
        (row.to[w] == kState ? run.x : run.registers.at(row.to[w])).at(e) = out.to[w];
    }
    input_scale = row.next_input_scale;
    if (after_row) after_row(i);
  }
}

}  // namespace ito::ref
