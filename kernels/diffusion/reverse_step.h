// SPDX-License-Identifier: Apache-2.0
// One reverse step, fused: x0 estimate, clip, posterior mean (or any combination linear in x, x0, eps), noise.
//   d   = x0_from_x x + x0_from_pred pred            (clipped to +-clip when clip > 0)
//   e   = eps_from_x x + eps_from_pred pred          (not recomputed after the clip unless eps_from_clipped: then
//                                                     e = eps_clip_x x + eps_clip_x0 d)
//   x'  = mean_x x + mean_x0 d + mean_eps e + std z
// std is noise_std, or with learned variance exp(1/2 (f log_beta + (1-f) log_beta_tilde)), f = (v+1)/2, v the second
// half of the channels of pred (Nichol and Dhariwal 2021); it is zero when noise_std is zero.
#pragma once
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

// One row of the device table, for one reverse step.
struct ReverseCoefficients {
  float timestep;  // what the network is given
  float x0_from_x, x0_from_pred;
  float eps_from_x, eps_from_pred;
  float eps_from_clipped;  // 0 or 1
  float eps_clip_x, eps_clip_x0;
  float mean_x, mean_x0, mean_eps;
  float noise_std;
  float clip;  // 0: none
  float log_beta, log_beta_tilde;
  float learned_variance;  // 0 or 1
};

// t[n] = table[*step].timestep for the network.
void set_timesteps(Stream& stream, float* t, const ReverseCoefficients* table, const int64_t* step, int n);
// x (N, pixels, C) fp32, updated in place; pred (N, pixels, C) or (N, pixels, 2C) with learned variance; z from
// Purpose::ReverseNoise at step word *step. x_network: the same x in the network's type (null: not wanted).
// x0_out: the (clipped) estimate d, fp32 (null: not wanted).
void reverse_step(Stream& stream, float* x, DataRef x_network, float* x0_out, ConstDataRef pred,
                  const ReverseCoefficients* table, const SampleCounter& counter, int n, int pixels, int c);
// *step += 1: the last node of a captured reverse step. total, if given, counts the steps of all batches, and is copied
// to total_on_host (of host_allocate), where the host looks for progress.
void advance_step(Stream& stream, int64_t* step, int64_t* total = nullptr, int64_t* total_on_host = nullptr);

}  // namespace ito
