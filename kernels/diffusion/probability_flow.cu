// SPDX-License-Identifier: Apache-2.0
// The probability flow between a network and a solver (formulas in the header). Rows are interpolated once an image;
// the rest is a pass over the elements, and a block an image where a sum is taken, in double.
// Bytes an element: flow_inputs 4 + s, flow_slope 8 + s, set_probe s, probe_divergence s.
#include "kernels/diffusion/probability_flow.h"

#include "dialect.h"
#include "kernels/dialect/double_math.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

constexpr int kSumThreads = 512;

DEVICE double cubic(double a, double b, double c, double d, const double (&w)[4]) {
  return w[0] * a + w[1] * b + w[2] * c + w[3] * d;
}

DEVICE void flow_row_item(int64_t i, FlowInputs inputs, const double* times, FlowTable table) {
  FlowRow row = table.rows[0];
  if (table.count > 1) {
    const double place = (times[i] - table.first) / table.spacing;
    int k = static_cast<int>(place) - 1;  // the first one of four points
    k = k < 0 ? 0 : k > table.count - 4 ? table.count - 4 : k;
    const double u = place - k;
    const double w[4] = {-(u - 1.0) * (u - 2.0) * (u - 3.0) / 6.0, u * (u - 2.0) * (u - 3.0) / 2.0,
                         -u * (u - 1.0) * (u - 3.0) / 2.0, u * (u - 1.0) * (u - 2.0) / 6.0};
    const FlowRow *a = table.rows + k, *b = a + 1, *c = a + 2, *d = a + 3;
    row.time = cubic(a->time, b->time, c->time, d->time, w);
    row.input_scale = cubic(a->input_scale, b->input_scale, c->input_scale, d->input_scale, w);
    row.from_x = cubic(a->from_x, b->from_x, c->from_x, d->from_x, w);
    row.from_pred = cubic(a->from_pred, b->from_pred, c->from_pred, d->from_pred, w);
  }
  inputs.at[i] = row;
  inputs.timestep[i] = static_cast<float>(row.time);
  if (inputs.level) {
    const double s = double_exp(times[i]), alpha = 1.0 / sqrt(1.0 + s * s);
    inputs.level[2 * i] = static_cast<float>(row.input_scale * alpha);
    inputs.level[2 * i + 1] = static_cast<float>(row.input_scale * s * alpha);
  }
}

template <class T>
DEVICE void flow_input_item(int64_t i, T* sample, const float* x, const FlowRow* at, int64_t size) {
  sample[i] = from_float<T>(static_cast<float>(at[i / size].input_scale) * x[i]);
}

template <class T>
DEVICE void flow_slope_item(int64_t i, float* slope, const float* x, const T* pred, bool wide, const FlowRow* at,
                            int64_t size, int64_t c) {
  const FlowRow& row = at[i / size];
  const float answer = to_float(pred[wide ? i + i / c * c : i]);
  slope[i] = static_cast<float>(fma(row.from_pred, static_cast<double>(answer), row.from_x * x[i]));
}

// Element i of an image's signs.
DEVICE float sign_of(const SampleDraws& draws, int64_t i, int number) {
  const Random4 bits = quad_bits(draws, i / 4, purpose_word(Purpose::Probe, static_cast<uint32_t>(number)));
  // A choice by compares: an array that is indexed by a variable would stand in local memory.
  const int lane = static_cast<int>(i % 4);
  const uint32_t low = lane % 2 == 0 ? bits.v[0] : bits.v[1], high = lane % 2 == 0 ? bits.v[2] : bits.v[3];
  return (lane < 2 ? low : high) >> 31 ? -1.0f : 1.0f;
}

template <class T>
DEVICE void set_probe_item(int64_t i, T* cotangent, FlowProbe probe, bool wide, SampleCounter counter, int64_t size,
                           int64_t c) {
  const int64_t image = i / size, element = i % size;
  float v = element == probe.number ? 1.0f : 0.0f;
  if (!probe.basis) v = sign_of(sample_draws(counter, image), element, probe.number);
  const int64_t place = wide ? i + i / c * c : i;
  cotangent[place] = from_float<T>(v);
  if (wide) cotangent[place + c] = from_float<T>(0.0f);
}

template <class T>
KERNEL void probe_divergence_kernel(double* divergence, int stride, const T* gradient, FlowProbe probe,
                                    const FlowRow* at, SampleCounter counter, int64_t size) {
  const int64_t image = blockIdx.x;
  const T* own = gradient + image * size;
  double sum = 0.0;
  if (probe.basis) {
    sum = to_float(own[probe.number]);
  } else {
    const SampleDraws draws = sample_draws(counter, image);
    BLOCK_LOOP(quad, ceil_div(size, 4)) {
      const Random4 bits = quad_bits(draws, quad, purpose_word(Purpose::Probe, static_cast<uint32_t>(probe.number)));
      for (int j = 0; j < 4; ++j) {
        const int64_t i = 4 * int64_t{quad} + j;
        if (i >= size) break;
        const double g = to_float(own[i]);
        sum += bits.v[j] >> 31 ? -g : g;
      }
    }
    sum = block_sum(sum);
  }
  if (threadIdx.x != 0) return;
  const FlowRow& row = at[image];
  const double part = row.from_pred * row.input_scale * sum / static_cast<double>(size);
  double* out = divergence + image * stride;
  *out = probe.basis && probe.number > 0 ? *out + part : row.from_x + part;
}

}  // namespace

void flow_inputs(Stream& stream, const FlowInputs& inputs, const float* x, const double* times, const FlowTable& table,
                 int n, int64_t size) {
  ITO_CHECK(inputs.at && inputs.sample && inputs.timestep && x && times && table.rows, "flow_inputs: a tensor is null");
  ITO_CHECK(n >= 0 && size > 0 && (table.count == 1 || table.count >= 4), "flow_inputs: N ", n, ", size ", size,
            ", a table of ", table.count, " rows, expected positive sizes and 1 row, or 4 or more");
  for_each<flow_row_item>("flow_rows", n, stream, inputs, times, table);
  by_type(inputs.sample.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<flow_input_item<T>>("flow_inputs", n * size, stream, inputs.sample.as<T>(), x,
                                 static_cast<const FlowRow*>(inputs.at), size);
  });
}

void flow_slope(Stream& stream, float* slope, const float* x, ConstDataRef pred, bool wide, const FlowRow* at, int n,
                int pixels, int c) {
  ITO_CHECK(slope && x && pred && at, "flow_slope: a tensor is null");
  ITO_CHECK(n >= 0 && pixels > 0 && c > 0, "flow_slope: N ", n, ", pixels ", pixels, ", C ", c,
            ", expected positive sizes");
  const int64_t size = int64_t{pixels} * c;
  by_type(pred.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<flow_slope_item<T>>("flow_slope", n * size, stream, slope, x, pred.as<T>(), wide, at, size, int64_t{c});
  });
}

void set_probe(Stream& stream, DataRef cotangent, const FlowProbe& probe, bool wide, const SampleCounter& counter,
               int n, int pixels, int c) {
  ITO_CHECK(cotangent, "set_probe: the cotangent is null");
  const int64_t size = int64_t{pixels} * c;
  ITO_CHECK(n >= 0 && size > 0 && probe.number >= 0 && (!probe.basis || probe.number < size), "set_probe: N ", n,
            ", pixels ", pixels, ", C ", c, ", probe ", probe.number, ", expected positive sizes and a vector of them");
  by_type(cotangent.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<set_probe_item<T>>("set_probe", n * size, stream, cotangent.as<T>(), probe, wide, counter, size,
                                int64_t{c});
  });
}

void probe_divergence(Stream& stream, double* divergence, int stride, ConstDataRef gradient, const FlowProbe& probe,
                      const FlowRow* at, const SampleCounter& counter, int n, int64_t size) {
  ITO_CHECK(divergence && gradient && at, "probe_divergence: a tensor is null");
  ITO_CHECK(n >= 0 && size > 0 && stride > 0 && probe.number >= 0, "probe_divergence: N ", n, ", size ", size,
            ", stride ", stride, ", probe ", probe.number, ", expected positive sizes");
  by_type(gradient.type, [&](auto tag) {
    using T = decltype(tag);
    launch<probe_divergence_kernel<T>>("probe_divergence", Dim3(n), kSumThreads, 0, stream, divergence, stride,
                                       gradient.as<T>(), probe, at, counter, size);
  });
}

}  // namespace ito
