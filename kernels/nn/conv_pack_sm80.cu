// SPDX-License-Identifier: Apache-2.0
// What the launchers of conv_sm80.h share that is no product: the filters' packing, which shapes are taken, and the
// count of work. packed[k] = (w[k, tap, c] for c < C, zeros up to C8) for each tap, then v[k, c]; bf16, ties to even.
// Bytes: 4 an element of the masters, 2 an element packed.
#include <string>

#include "kernels/nn/conv_sm80.h"

#include "dialect.h"
#include "kernels/nn/conv_sm80_shapes.cuh"
#include "kernels/nn/pointwise.h"

namespace ito {
namespace {

DEVICE void conv_pack_body(int64_t item, bf16* packed, const float* weight, const float* shortcut, int taps, int c,
                           int padded_c, int shortcut_c) {
  const int columns = taps * padded_c, inner = columns + shortcut_c;
  const int64_t k = item / inner;
  const int j = static_cast<int>(item % inner);
  float value = 0.0f;
  if (j >= columns)
    value = shortcut[k * shortcut_c + j - columns];
  else if (j % padded_c < c)
    value = weight[(k * taps + j / padded_c) * c + j % padded_c];
  packed[item] = from_float<bf16>(value);
}

template <class Tile>
const char* name_of_tile(Tile) {
  static const std::string name = join_text(Tile::kM, "x", Tile::kN, "x", Tile::kK);
  return name.c_str();
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
  if (c.c % 8 == 0 && !shape.shortcut_c) return convert(stream, packed, weight, c.weights());
  for_each<conv_pack_body>("conv_pack_sm80", int64_t{1} * c.k * inner_of(shape), stream, packed, weight, shortcut,
                           c.r * c.s, c.c, padded8(c.c), shape.shortcut_c);
}

ConvSm80Work conv_sm80_work(ConvSm80Direction direction, const ConvSm80Shape& shape, int n) {
  const ConvShape& c = shape.conv;
  const double pixels = 1.0 * n * c.out_h() * c.out_w(), inner = 1.0 * c.r * c.s * c.c + shape.shortcut_c;
  const double x = 1.0 * n * c.h * c.w * c.c / (shape.upsampled ? 4 : 1) + pixels * shape.shortcut_c;
  const double y = pixels * c.k, filters = c.k * inner;
  const bool data = direction == ConvSm80Direction::Data, weight = direction == ConvSm80Direction::Weight;
  ConvSm80Work work;
  work.flops = 2.0 * pixels * c.k * (data ? 1.0 * c.r * c.s * c.c : inner);
  work.bytes = 2.0 * ((data ? 1.0 * n * c.h * c.w * c.c : x) + y) + (weight ? 4.0 : 2.0) * filters;
  return work;
}

const char* conv_sm80_tile(ConvSm80Direction direction, const ConvSm80Shape& shape) {
  const char* name = nullptr;
  const auto take = [&](auto tile) { name = name_of_tile(tile); };
  if (direction == ConvSm80Direction::Forward)
    by_forward_tile(shape.conv, take);
  else if (direction == ConvSm80Direction::Data)
    by_data_tile(shape.conv, take);
  else
    by_weight_tile(shape.conv, take);
  return name;
}

}  // namespace ito
