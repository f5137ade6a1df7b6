// SPDX-License-Identifier: Apache-2.0
// What the launchers of conv_sm80.h share that is no product: the filters' packing, and which shapes are taken.
// packed[k] = (w[k, tap, c] for c < C, zeros up to C8) for each tap, then v[k, c]; bf16, ties to even. Where there is a
// v, C is a multiple of 8. Bytes: 4 an element of the masters, 2 an element packed.
#include "kernels/nn/conv_sm80.h"

#include "dialect.h"
#include "kernels/nn/conv_sm80_shapes.cuh"
#include "kernels/nn/pack_filters.h"

namespace ito {
namespace {

// A filter, and behind it the shortcut's.
DEVICE void conv_pack_body(int64_t item, bf16* packed, const float* weight, const float* shortcut, int columns,
                           int shortcut_c) {
  const int inner = columns + shortcut_c;
  const int64_t k = item / inner;
  const int j = static_cast<int>(item % inner);
  packed[item] = from_float<bf16>(j < columns ? weight[k * columns + j] : shortcut[k * shortcut_c + j - columns]);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

const char* conv_sm80_refusal(const ConvSm80Shape& shape) {
  const ConvShape& c = shape.conv;
  if (c.h <= 0 || c.w <= 0 || c.c <= 0 || c.k <= 0 || c.r <= 0 || c.s <= 0 || c.stride <= 0 || c.pad_top < 0 ||
      c.pad_left < 0 || c.h + c.pad_top + c.pad_bottom < c.r || c.w + c.pad_left + c.pad_right < c.s)
    return "sizes that give no output";
  if (c.r * c.s > 16) return "more than 16 taps";
  if (shape.first_c < 0 || shape.first_c >= c.c + (shape.first_c == 0) || shape.first_c % 8 != 0 ||
      (shape.first_c && c.c % 8 != 0))
    return "two tensors side by side whose channels are not multiples of 8";
  if (shape.upsampled && (c.h % 2 != 0 || c.w % 2 != 0 || c.c % 8 != 0))
    return "an upsampled input of odd size, or of channels that are not a multiple of 8";
  if (shape.shortcut_c < 0 || shape.shortcut_c % 8 != 0 || shape.shortcut_first_c < 0 ||
      shape.shortcut_first_c % 8 != 0 || (shape.shortcut_first_c && shape.shortcut_first_c >= shape.shortcut_c) ||
      (shape.shortcut_c && c.c % 8 != 0))
    return "a shortcut whose channels, or the input's, are not multiples of 8";
  return nullptr;
}

size_t conv_sm80_packed_bytes(const ConvSm80Shape& shape) {
  return sizeof(bf16) * static_cast<size_t>(shape.conv.k) * static_cast<size_t>(inner_of(shape));
}

void conv_sm80_pack(Stream& stream, bf16* packed, const float* weight, const float* shortcut,
                    const ConvSm80Shape& shape) {
  check_conv_sm80("conv_pack_sm80", shape, 0);
  ITO_CHECK(packed && weight && (!shape.shortcut_c || shortcut), "conv_pack_sm80: no filters, or nowhere to put them");
  const ConvShape& c = shape.conv;
  if (!shape.shortcut_c) return pack_filters(stream, packed, weight, int64_t{1} * c.k * c.r * c.s, c.c, padded8(c.c));
  for_each<conv_pack_body>("conv_pack_sm80", int64_t{1} * c.k * inner_of(shape), stream, packed, weight, shortcut,
                           c.r * c.s * c.c, shape.shortcut_c);
}

}  // namespace ito
