// SPDX-License-Identifier: Apache-2.0
// The terms of the variational bound (Ho et al. 2020, eq. 5; Nichol and Dhariwal 2021, section 3.1), their gradient,
// and the network's answer read as N(mu, e^l) of the state before. With d = m - mu, m the mean of
// q(x_{t-1} | x_t, x0) and l* its log variance, a number contributes
//   L_{t-1}  KL(q || p) = (e^(l* - l) - 1 - (l* - l) + d^2 e^-l) / 2,
// and at the first timestep, with d = x0 - mu,
//   L_0      -ln(Phi((d + h) / s) - Phi((d - h) / s)),  s = e^(l / 2), h = 1/255: a byte's share of the normal, whose
//            ends are open for black and white; or the density's -ln N(d; 0, s^2), for data of another kind.
#pragma once
#include "kernels/diffusion/forward_row.h"
#include "kernels/diffusion/variational_row.h"
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

// What training makes of the terms. Null members are not written.
struct VariationalLoss {
  float* loss = nullptr;  // (N): squared (or 0) + factor rows[n].scale term
  const float* squared = nullptr;
  DataRef dpred = {};    // in pred's type and shape: the gradient of sum loss / batch
  bool of_mean = false;  // false: of the variance alone; the first half is left as it is
  double factor = 1;
  int batch = 1;  // images of the whole step, over which the loss is a mean
};

// terms (N), may be null: nats a number, the mean over the image's. x_t is made again from x0 (N, pixels, C) fp32, the
// rows (N) and the counter's draws. pred (N, pixels, C), or with `wide` (N, pixels, 2C), which a row with a span needs.
// table (levels), read at rows[n].level. A gradient is of D unclipped.
void variational_terms(Stream& stream, double* terms, const VariationalLoss& training, ConstDataRef pred, bool wide,
                       const float* x0, const ForwardRow* rows, const VariationalRow* table,
                       const SampleCounter& counter, int n, int pixels, int c);

}  // namespace ito
