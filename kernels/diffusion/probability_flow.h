// SPDX-License-Identifier: Apache-2.0
// The slope of the probability flow from a network's answer (Song et al. 2021, eq. 13, in the variables of flow_row.h),
// and its divergence by pull-backs: with J = d pred / d input,
//   div dx/dl = from_x N + from_pred input_scale tr J,  tr J = sum_i e_i^T J^T e_i, or the mean of v^T J^T v over
//   random signs v (Hutchinson 1990)
// The rows of any l come from a table over l at equal distances by cubics through four of its points: what depends on
// the model's family, prediction and schedule is arithmetic on the host, which no kernel knows. Four points at a
// distance of 5e-3 give the coefficients, powers and exponentials of l all, to 1e-10 of themselves.
#pragma once
#include "kernels/diffusion/flow_row.h"
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

// rows (count) in device memory, of l = first, first + spacing, ...; a table of one row is that row for every l.
struct FlowTable {
  const FlowRow* rows;
  int count;
  double first, spacing;
};

// What a network is given for x (N, size) at times (N); all to be filled in.
struct FlowInputs {
  FlowRow* at;      // (N): the times' rows
  DataRef sample;   // (N, size) = input_scale x, in the network's type
  float* timestep;  // (N)
  float* level;     // (N, 2): sample = level[0] x0 + level[1] eps; null where it is not asked for
};
void flow_inputs(Stream& stream, const FlowInputs& inputs, const float* x, const double* times, const FlowTable& table,
                 int n, int64_t size);
// slope (N, pixels, C) = from_x x + from_pred pred. pred (N, pixels, C), or (N, pixels, 2C) if wide: the answer, then
// what is left out.
void flow_slope(Stream& stream, float* slope, const float* x, ConstDataRef pred, bool wide, const FlowRow* at, int n,
                int pixels, int c);

// A vector v an image: signs from Purpose::Probe, or the basis vector of that number.
struct FlowProbe {
  bool basis;
  int number;
};
// cotangent (as pred) = v, and 0 in the channels left out.
void set_probe(Stream& stream, DataRef cotangent, const FlowProbe& probe, bool wide, const SampleCounter& counter,
               int n, int pixels, int c);
// divergence[n * stride] = from_x + from_pred input_scale v . gradient / N, the divergence per number, as v estimates
// it. gradient (N, size). Basis vectors add up: number 0 sets, the others add their part.
void probe_divergence(Stream& stream, double* divergence, int stride, ConstDataRef gradient, const FlowProbe& probe,
                      const FlowRow* at, const SampleCounter& counter, int n, int64_t size);

}  // namespace ito
