// SPDX-License-Identifier: Apache-2.0
// See the header. Independent elements, 8 or 12 bytes each.
#include "kernels/inverse/pointwise_measurements.h"

#include "dialect.h"

namespace ito {
namespace {

DEVICE void clip_range_item(int64_t i, float* y, const float* x) {
  y[i] = fminf(fmaxf(2.0f * x[i], -1.0f), 1.0f);
}

DEVICE void clip_range_adjoint_item(int64_t i, float* x, const float* r, const float* at) {
  x[i] = fabsf(2.0f * at[i]) < 1.0f ? 2.0f * r[i] : 0.0f;
}

DEVICE void quantise_item(int64_t i, float* y, const float* x, float levels) {
  // Within 0 and levels + 1/2, where a cast is a floor.
  const float place = fminf(fmaxf(fmaf(0.5f * levels, x[i] + 1.0f, 0.5f), 0.0f), levels + 0.5f);
  y[i] = fmaf(2.0f / levels, static_cast<float>(static_cast<int>(place)), -1.0f);
}

}  // namespace

void clip_range(Stream& stream, float* y, const float* x, int64_t count) {
  ITO_CHECK(count >= 0 && x && y, "clip_range: an operand is null");
  for_each<clip_range_item>("clip_range", count, stream, y, x);
}

void clip_range_adjoint(Stream& stream, float* x, const float* r, const float* at, int64_t count) {
  ITO_CHECK(count >= 0 && x && r && at, "clip_range_adjoint: an operand is null");
  for_each<clip_range_adjoint_item>("clip_range_adjoint", count, stream, x, r, at);
}

void quantise(Stream& stream, float* y, const float* x, int levels, int64_t count) {
  ITO_CHECK(count >= 0 && x && y && levels > 0, "quantise: ", levels, " levels, or an operand is null");
  for_each<quantise_item>("quantise", count, stream, y, x, static_cast<float>(levels));
}

}  // namespace ito
