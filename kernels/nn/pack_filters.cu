// SPDX-License-Identifier: Apache-2.0
// A copy that leaves room: to[r, c] = from[r, c], 0 behind the channels. Bytes an element: 4 read, s written.
#include "kernels/nn/pack_filters.h"

#include "dialect.h"
#include "kernels/nn/pointwise.h"

namespace ito {
namespace {

template <class T>
DEVICE void pack_element(int64_t i, T* to, const float* from, int channels, int padded) {
  const int64_t row = i / padded;
  const int c = static_cast<int>(i - row * padded);
  to[i] = from_float<T>(c < channels ? from[row * channels + c] : 0.0f);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void pack_filters(Stream& stream, DataRef to, const float* from, int64_t rows, int channels, int padded) {
  ITO_CHECK(channels > 0 && padded >= channels, "pack_filters: ", channels, " channels padded to ", padded);
  if (padded == channels) return convert(stream, to, from, rows * channels);
  by_type(to.type, [&](auto zero) {
    using T = decltype(zero);
    for_each<pack_element<T>>("pack_filters", rows * padded, stream, to.as<T>(), from, channels, padded);
  });
}

}  // namespace ito
