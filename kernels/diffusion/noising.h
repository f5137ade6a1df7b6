// SPDX-License-Identifier: Apache-2.0
// The draw of a level for each image of a training step, the noised image, and plain normals.
#pragma once
#include "kernels/diffusion/forward_row.h"
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

// The chance of every level, in device memory.
struct LevelChances {
  const uint64_t* thresholds = nullptr;  // (levels): how many of the 2^32 words draw a level up to each; null: uniform
  const float* scale = nullptr;          // (levels): the scale of the row, times its weight; null: 1
};

// rows[n] = table[t], t drawn by 32 bits of Purpose::Timestep: the first whose threshold is above them, or uniform in
// 0..levels-1. rows (N), table (levels), both in device memory.
void draw_levels(Stream& stream, ForwardRow* rows, const ForwardRow* table, int levels, const LevelChances& chances,
                 const SampleCounter& counter, int n);

// What the network is given: x_t (N, image_size) in its type, and timestep (N) fp32 (may be null).
// x0 (N, image_size) fp32; rows (N).
void add_noise(Stream& stream, DataRef x_t, float* timestep, const float* x0, const ForwardRow* rows,
               const SampleCounter& counter, int n, int64_t image_size);

// out (N, image_size) fp32 = standard normals of the given purpose (x_T of sampling: Purpose::InitialNoise).
void fill_normal(Stream& stream, float* out, const SampleCounter& counter, uint32_t purpose, int n, int64_t image_size);

}  // namespace ito
