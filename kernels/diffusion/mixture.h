// SPDX-License-Identifier: Apache-2.0
// The exact answer of a Gaussian mixture. Data p(x0) = sum_k w_k N(m_k, diag v_k), noised to x = alpha x0 + sigma eps,
// is the mixture of N(alpha m_k, diag c_k), c_k = alpha^2 v_k + sigma^2, so that with the posterior weights
//   r_k = w_k N(x; alpha m_k, c_k) / sum_l w_l N(x; alpha m_l, c_l)   and   g_k = (x - alpha m_k) / c_k
//   E[eps | x] = -sigma grad log p(x) = sigma sum_k r_k g_k        (Tweedie's formula: Robbins 1956)
//   J u = sigma (u sum_k r_k / c_k - sum_k r_k g_k (g_k . u - sum_l r_l g_l . u)),   J = d E[eps | x] / dx
// elementwise but for the dots. J is sigma times minus the Hessian of log p: symmetric, so its product is its
// transpose's. Of an image whose class is known, the mixture is that of the class's components alone.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

inline constexpr int kMostComponents = 2048;  // two numbers of each stand in shared memory

// In device memory, all double.
struct MixtureTables {
  const double* log_weights = nullptr;  // (K); the weights need not sum to 1
  const double* means = nullptr;        // (K, size)
  const double* variances = nullptr;    // (K, size), above 0
  const int32_t* classes = nullptr;     // (K), each component's, one at least of every class; null: there are none
  int32_t class_count = 0;              // classes are 0 .. class_count-1; any other label says nothing
};

struct MixtureShape {
  int n = 0;
  int components = 0;  // K
  int64_t size = 0;    // numbers an image
};

// Where the images stand.
struct MixtureImages {
  const float* level;               // (N, 2): alpha and sigma, of which c is expected between 1e-19 and 1e19
  const int32_t* labels = nullptr;  // (N), of a mixture with classes
};

// eps, x (N, size) in one type.
void mixture_eps(Stream& stream, DataRef eps, ConstDataRef x, const MixtureImages& images, const MixtureTables& tables,
                 const MixtureShape& shape);
// dx (+)= J deps, all (N, size).
void mixture_eps_backward(Stream& stream, DataRef dx, Write write, ConstDataRef deps, ConstDataRef x,
                          const MixtureImages& images, const MixtureTables& tables, const MixtureShape& shape);

}  // namespace ito
