// SPDX-License-Identifier: Apache-2.0
// fp32 images in [-1, 1] to bytes: u = round(255 * clamp(x/2 + 1/2, 0, 1)), ties to even. One element an item.
// Bytes an element: 4 read, 1 written. NaN becomes 0.
#include "kernels/diffusion/pack.h"

#include "dialect.h"

namespace ito {
namespace {

DEVICE void pack_uint8_element(int64_t i, uint8_t* out, const float* x) {
  const float unit = fmaf(x[i], 0.5f, 0.5f);
  const float above = unit > 0.0f ? unit : 0.0f;
  const float clamped = above < 1.0f ? above : 1.0f;
  // The product is rounded before it is rounded to an integer, as the published pipelines do: not one fused step.
  out[i] = static_cast<uint8_t>(static_cast<int32_t>(rintf(255.0f * clamped)));
}

}  // namespace

void pack_uint8(Stream& stream, uint8_t* out, const float* x, int64_t count) {
  ITO_CHECK(count >= 0, "pack_uint8: count is ", count, ", expected 0 or more");
  for_each<pack_uint8_element>("pack_uint8", count, stream, out, x);
}

}  // namespace ito
