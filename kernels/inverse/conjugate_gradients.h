// SPDX-License-Identifier: Apache-2.0
// The steps of conjugate gradients (Hestenes and Stiefel 1952) for A x = b, N systems of `size` numbers at once, each
// with its own scalars: norms are over one system, in double, so that its bits do not know the others. A system whose
// residual has become kCgConverged of its right side stays where it is: what is left is rounding, which further steps
// would carry into the directions that A hardly sees, divided by next to nothing.
#pragma once
#include "kernels/seams/device.h"

namespace ito {

inline constexpr double kCgConverged = 0x1p-20;

// Of every system, in device memory.
struct CgState {
  float *x, *r, *p;  // (N, size): the answer so far, b - A x, the direction
  double* rr;        // (N, 2): |r|^2, |b|^2
};

// x = 0, r = p = b.
void cg_begin(Stream& stream, const CgState& state, const float* b, int n, int64_t size);
// a = |r|^2 / (p . Ap), x += a p, r -= a Ap, p = r + (|r'|^2 / |r|^2) p. ap (N, size) = A p.
void cg_step(Stream& stream, const CgState& state, const float* ap, int n, int64_t size);
// out = scale out + shift in, elementwise, with scale and shift of the row that runs: pairs[2 *row], pairs[2 *row + 1],
// or the first pair where row is null. May be in place.
void scale_and_shift(Stream& stream, float* out, const float* in, const float* pairs, const int64_t* row,
                     int64_t count);

}  // namespace ito
