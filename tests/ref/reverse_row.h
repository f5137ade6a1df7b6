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

// What one element of a row sees: the answer's two halves, the draw, its image's gauges and the registers' old values.
struct RowInput {
  double x = 0, pred = 0, v = 0, z = 0;
  double gauges[2] = {};
  double registers[kRegisters] = {};
};

struct RowOutput {
  double x0 = 0, eps = 0;
  double to[kWrites] = {};         // what is written, in the order of row.to
  double magnitude[kWrites] = {};  // sums of the absolute terms, down to x, pred, z and the registers
};

template <typename Real>
RowOutput reverse_element(const RowOf<Real>& row, const RowInput& in) {
  RowOutput out;
  out.x0 = row.x0_from_x * in.x + row.x0_from_pred * in.pred;
  const double x0_size = std::fabs(row.x0_from_x * in.x) + std::fabs(row.x0_from_pred * in.pred);
  const double bound = row.clip;
  if (bound > 0) out.x0 = std::min(std::max(out.x0, -bound), bound);
  if (row.gauge == Gauge::Quantile) out.x0 = std::min(std::max(out.x0, -in.gauges[0]), in.gauges[0]) / in.gauges[0];
  const bool langevin = row.gauge == Gauge::Langevin;
  const double eps_factor = langevin ? in.gauges[0] : 1, noise_factor = langevin ? in.gauges[1] : 1;
  out.eps = row.eps_from_x * in.x + row.eps_from_pred * in.pred + row.eps_from_x0 * out.x0;
  const double eps_size =
      std::fabs(row.eps_from_x * in.x) + std::fabs(row.eps_from_pred * in.pred) + std::fabs(row.eps_from_x0) * x0_size;
  double std = 1;
  if (row.log_variance_high != 0 || row.log_variance_low != 0) {
    const double f = (in.v + 1) / 2;
    std = std::exp(0.5 * (f * row.log_variance_high + (1 - f) * row.log_variance_low));
  }
  for (int w = 0; w < row.writes; ++w) {
    const Real* weight = row.weight[w];
    const auto add = [&](double term, double size) { out.to[w] += term, out.magnitude[w] += size; };
    add(weight[kX] * in.x, std::fabs(weight[kX] * in.x));
    add(weight[kX0] * out.x0, std::fabs(weight[kX0]) * x0_size);
    add(weight[kEps] * eps_factor * out.eps, std::fabs(weight[kEps] * eps_factor) * eps_size);
    add(weight[kPred] * in.pred, std::fabs(weight[kPred] * in.pred));
    const double noise = weight[kNoise] * noise_factor * std * in.z;
    if (row.draw >= 0) add(noise, std::fabs(noise));
    for (int r = 0; r < kRegisters; ++r)
      if (row.reads >> r & 1)
        add(weight[kRegister0 + r] * in.registers[r], std::fabs(weight[kRegister0 + r] * in.registers[r]));
  }
  return out;
}

// An image's two gauges (kernels/diffusion/gauge.h), by sorting and by plain sums.
template <typename Real>
std::vector<double> gauges_of(const RowOf<Real>& row, const std::vector<RowInput>& image) {
  RowOf<Real> plain = row;
  plain.gauge = Gauge::None;
  std::vector<double> magnitudes;
  double noise = 0, slope = 0;
  for (const RowInput& in : image) {
    const RowOutput out = reverse_element(plain, in);
    magnitudes.push_back(std::fabs(out.x0));
    noise += in.z * in.z, slope += out.eps * out.eps;
  }
  if (row.gauge == Gauge::Langevin) {
    const double ratio = row.gauge_ratio * std::sqrt(noise) / (std::sqrt(slope) / row.sigma);
    const double step = 2 * row.gauge_most * ratio * ratio;
    return {step, std::sqrt(2 * step)};
  }
  std::sort(magnitudes.begin(), magnitudes.end());
  const double position = row.gauge_ratio * static_cast<double>(magnitudes.size() - 1);
  const auto rank = static_cast<size_t>(position);
  const double low = magnitudes[rank], high = magnitudes[std::min(rank + 1, magnitudes.size() - 1)];
  const double quantile = low + (position - static_cast<double>(rank)) * (high - low);
  return {std::min(std::max(quantile, 1.0), static_cast<double>(row.gauge_most)), 0};
}

// A run of the table from x on: `network` of (the scaled input, timestep), `noise` of (element, draw). after_row(i)
// may look at the state. Rows are run in order; the writes of each are stored once all are known. image_size: numbers
// of an image, which rows with a gauge look at as a whole.
struct RowRun {
  std::vector<double> x;
  std::vector<std::vector<double>> registers;
  size_t image_size = 0;
};

template <typename Real>
void run_rows(const std::vector<RowOf<Real>>& rows, double first_input_scale, RowRun& run,
              const std::function<double(double, double)>& network, const std::function<double(size_t, int)>& noise,
              const std::function<void(size_t)>& after_row = {}) {
  double input_scale = first_input_scale;
  for (size_t i = 0; i < rows.size(); ++i) {
    const RowOf<Real>& row = rows[i];
    std::vector<RowInput> inputs(run.x.size());
    for (size_t e = 0; e < run.x.size(); ++e) {
      RowInput& in = inputs[e];
      in.x = run.x[e];
      in.pred = network(input_scale * in.x, row.timestep);
      in.z = row.draw >= 0 ? noise(e, row.draw) : 0;
      for (int r = 0; r < kRegisters; ++r)
        if (row.reads >> r & 1) in.registers[r] = run.registers.at(r).at(e);
    }
    if (row.gauge != Gauge::None) {
      if (run.image_size == 0) throw std::invalid_argument("a row with a gauge, and images of no size");
      for (size_t first = 0; first < inputs.size(); first += run.image_size) {
        const auto begin = inputs.begin() + static_cast<std::ptrdiff_t>(first);
        const auto end = begin + static_cast<std::ptrdiff_t>(run.image_size);
        const std::vector<double> gauges = gauges_of(row, {begin, end});
        for (auto in = begin; in != end; ++in) std::copy(gauges.begin(), gauges.end(), in->gauges);
      }
    }
    for (size_t e = 0; e < run.x.size(); ++e) {
      const RowOutput out = reverse_element(row, inputs[e]);
      for (int w = 0; w < row.writes; ++w)
        (row.to[w] == kState ? run.x : run.registers.at(row.to[w])).at(e) = out.to[w];
    }
    input_scale = row.next_input_scale;
    if (after_row) after_row(i);
  }
}

}  // namespace ito::ref
