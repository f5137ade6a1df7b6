// SPDX-License-Identifier: Apache-2.0
// One row of a sampler: a network call and the update after it, as a small matrix. Columns are what exists once the
// network has answered; rows are what is written. Every sampler whose coefficients are known before the first call is
// a table of such rows, and one kernel runs them all.
//   d  = x0_from_x x + x0_from_pred pred                          clipped to +-clip where clip > 0
//                                                                 or clipped to +-q and divided by q (Gauge::Quantile)
//   e  = eps_from_x x + eps_from_pred pred + eps_from_x0 d
//   to = w[kX] x + w[kX0] d + w[kEps] e + w[kPred] pred + sum_r w[kRegister0 + r] register r + w[kNoise] std z
// for up to three targets `to`, the state and registers. Everything on the right is an old value, so the order of the
// writes means nothing. std is 1, or with a learned variance exp(1/2 (f log_variance_high + (1-f) log_variance_low)),
// f = (v+1)/2, v the second half of the answer's channels (Nichol and Dhariwal 2021, eq. 15). With Gauge::Langevin
// w[kEps] is multiplied by the image's a and w[kNoise] by its b.
#pragma once
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

inline constexpr int kRegisters = 8;  // fp32 copies of the images that a table may ask for
inline constexpr int kWrites = 3;     // targets a row
inline constexpr int kState = -1;     // the target that is x itself; others are registers

enum Source : int { kX, kX0, kEps, kPred, kNoise, kRegister0, kSources = kRegister0 + kRegisters };

// What a row needs to know of a whole image before it is updated: the quantile that dynamic thresholding divides by, or
// the step of a Langevin corrector. gauge.h measures it.
enum class Gauge : int32_t { None, Quantile, Langevin };

// Real: float on the device; on the host a sampler also has its rows in double.
template <typename Real>
struct RowOf {
  Real timestep;                             // what the network is given
  Real x0_from_x, x0_from_pred;              // d
  Real clip;                                 // 0: none
  Real eps_from_x, eps_from_pred;            // e
  Real eps_from_x0;                          // not 0: e is recomputed from the clipped d
  Real next_input_scale;                     // the network's copy of the new state is this times it
  Real log_variance_high, log_variance_low;  // of std; both 0: std is 1
  Real alpha, sigma;                         // the state's level at the call: x = alpha x0 + sigma eps
  Real guidance;                             // for networks that ask for it
  int32_t draw;                              // step word of z: counts draws, not rows; -1: none is drawn
  Gauge gauge;
  Real gauge_ratio, gauge_most;  // Quantile: which one, and the largest q; Langevin: r and alpha (gauge.h)
  uint32_t reads;                // bit r: register r is read
  int32_t writes;                // of `to` and `weight`
  int32_t to[kWrites];
  Real weight[kWrites][kSources];
};
using ReverseRow = RowOf<float>;

// t[n] = rows[*row].timestep for the network.
void set_timesteps(Stream& stream, float* t, const ReverseRow* rows, const int64_t* row, int n);
// level (N, 2) = the alpha and sigma of rows[*row] as the network sees them: times what its input is scaled by, which
// the row before says, and before the first row first_input_scale.
void set_levels(Stream& stream, float* level, const ReverseRow* rows, const int64_t* row, float first_input_scale,
                int n);
// Runs rows[*row]. x (N, pixels, C) fp32; registers (R, N, pixels, C) fp32, R at most kRegisters; both updated in
// place. pred (N, pixels, C), or (N, pixels, 2C) if wide: the answer, then v. x_network: the new state times
// next_input_scale in the network's type (null: not wanted). gauges (N, 2) of measure_gauges, null where no row of the
// table asks for one. z from Purpose::ReverseNoise at step word `draw`, or where the counter has given draws that one
// of them; the counter says which images these are, and must not count steps itself.
void reverse_row(Stream& stream, float* x, DataRef x_network, float* registers, int register_count, ConstDataRef pred,
                 bool wide, const float* gauges, const ReverseRow* rows, const int64_t* row,
                 const SampleCounter& counter, int n, int pixels, int c);
// The network's copy of a state that something other than reverse_row has made: x_network = s x, `count` numbers, with
// s = rows[*row].next_input_scale, or given (before the first row).
void scale_input(Stream& stream, DataRef x_network, const float* x, const ReverseRow* rows, const int64_t* row,
                 int64_t count);
void scale_input(Stream& stream, DataRef x_network, const float* x, float scale, int64_t count);
// *row += 1: the last node of a captured row. total, if given, counts the rows of all batches, and is copied to
// total_on_host (of host_allocate), where the host looks for progress.
void advance_row(Stream& stream, int64_t* row, int64_t* total = nullptr, int64_t* total_on_host = nullptr);

}  // namespace ito
