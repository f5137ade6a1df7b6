// SPDX-License-Identifier: Apache-2.0
// The closed-form forward process and the draw of t (Ho et al. 2020, eq. 4):
//   x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps,  eps from the counter, not stored.
#pragma once
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

// What a step t needs of the schedule: tables of T floats in device memory, index 0..T-1.
struct NoiseTables {
  const float* sqrt_abar = nullptr;
  const float* sqrt_one_minus_abar = nullptr;
  int steps = 0;  // T
};

// t[n] uniform in 0..T-1 from (Timestep), and the same as fp32 for the network (t_float may be null).
void draw_timesteps(Stream& stream, int32_t* t, float* t_float, const SampleCounter& counter, int n, int steps);

// x_t (N, row) in its type; x0 (N, row) fp32; t (N) int32.
void add_noise(Stream& stream, DataRef x_t, const float* x0, const int32_t* t, const SampleCounter& counter,
               const NoiseTables& tables, int n, int64_t row);

// out (N, row) fp32 = standard normals of the given purpose (x_T of sampling: Purpose::InitialNoise).
void fill_normal(Stream& stream, float* out, const SampleCounter& counter, uint32_t purpose, int n, int64_t row);

}  // namespace ito
