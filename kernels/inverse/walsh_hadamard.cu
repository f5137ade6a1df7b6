// SPDX-License-Identifier: Apache-2.0
// See the header. A pass is R numbers an item, in registers, that lie `stride` apart: log2(R) stages of sums and
// differences for 8 bytes a number. Passes of 8 until what is left is smaller; the last one divides by sqrt(length).
#include "kernels/inverse/walsh_hadamard.h"

#include <cmath>

#include "dialect.h"

namespace ito {
namespace {

// stride: of the numbers that meet, in numbers of x.
template <int kLog>
DEVICE void walsh_item(int64_t at, float* x, int64_t stride, float scale) {
  constexpr int kRadix = 1 << kLog;
  const int64_t block = at / stride;
  float* first = x + block * kRadix * stride + (at - block * stride);
  float v[kRadix];
  for (int j = 0; j < kRadix; ++j) v[j] = first[j * stride];
  for (int s = 0; s < kLog; ++s) {
    for (int j = 0; j < kRadix / 2; ++j) {
      const int low = ((j >> s) << (s + 1)) | (j & ((1 << s) - 1)), high = low | (1 << s);
      const float sum = v[low] + v[high], difference = v[low] - v[high];
      v[low] = sum;
      v[high] = difference;
    }
  }
  for (int j = 0; j < kRadix; ++j) first[j * stride] = scale * v[j];
}

template <int kLog>
void walsh_pass(Stream& stream, float* x, int64_t count, int64_t stride, float scale) {
  for_each<walsh_item<kLog>>("walsh_hadamard", count >> kLog, stream, x, stride, scale);
}

}  // namespace

void walsh_hadamard(Stream& stream, float* x, int64_t outer, int64_t length, int64_t inner) {
  ITO_CHECK(outer >= 0 && length > 0 && (length & (length - 1)) == 0 && inner > 0 && x, "walsh_hadamard: ", outer,
            " times ", length, " times ", inner, ", expected positive sizes, the middle one a power of two");
  const int64_t count = outer * length * inner;
  int64_t stride = inner;
  for (int64_t left = length; left > 1;) {
    const float scale = left <= 8 ? static_cast<float>(1 / std::sqrt(static_cast<double>(length))) : 1.0f;
    if (left >= 8)
      walsh_pass<3>(stream, x, count, stride, scale);
    else if (left == 4)
      walsh_pass<2>(stream, x, count, stride, scale);
    else
      walsh_pass<1>(stream, x, count, stride, scale);
    const int64_t radix = left >= 8 ? 8 : left;
    left /= radix;
    stride *= radix;
  }
}

}  // namespace ito
