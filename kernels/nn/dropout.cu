// SPDX-License-Identifier: Apache-2.0
// Dropout (Srivastava et al. 2014), inverted: y = x / (1 - p) where kept, 0 elsewhere. The mask is a function of the
// counter, so forward and backward call the same kernel and nothing is stored: philox costs less than its traffic.
// Block = (image, 4096 elements), four elements a thread at a time, one philox call for the four.
// Bytes an element: one read, one write (Write::Add: one read more).
#include "kernels/nn/dropout.h"

#include "dialect.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

template <class T>
KERNEL void dropout_kernel(T* y, bool add, const T* x, SampleCounter counter, int64_t row, float p, uint32_t purpose) {
  const int64_t blocks = quad_blocks(row), image = blockIdx.x / blocks;
  const SampleDraws draws = sample_draws(counter, image);
  const float scale = 1.0f / (1.0f - p);
  for_quads(row, blockIdx.x % blocks, [&](int64_t quad, auto width) {
    const Random4 bits = quad_bits(draws, quad, purpose);
    const int64_t at = image * row + 4 * quad;
    for (int j = 0; j < width; ++j) {
      const float kept = uniform01(bits.v[j]) >= p ? scale * to_float(x[at + j]) : 0.0f;
      y[at + j] = from_float<T>(add ? to_float(y[at + j]) + kept : kept);
    }
  });
}

}  // namespace

void dropout(Stream& stream, DataRef y, Write write, ConstDataRef x, const SampleCounter& counter,
             const DropoutShape& shape) {
  ITO_CHECK(shape.n >= 0 && shape.row > 0, "dropout: N ", shape.n, ", row ", shape.row, ", expected positive sizes");
  ITO_CHECK(shape.p >= 0.0f && shape.p < 1.0f, "dropout: p is ", shape.p, ", expected 0 <= p < 1");
  ITO_CHECK(shape.layer < 1u << 24, "dropout: layer ", shape.layer, ", expected below 2^24");
  ITO_CHECK(y.type == x.type, "dropout: y is ", name_of(y.type), " and x ", name_of(x.type), ", expected one type");
  by_type(y.type, [&](auto tag) {
    using T = decltype(tag);
    launch<dropout_kernel<T>>("dropout", Dim3(shape.n * quad_blocks(shape.row)), kQuadThreads, 0, stream, y.as<T>(),
                              write == Write::Add, x.as<T>(), counter, shape.row, shape.p,
                              purpose_word(Purpose::Dropout, shape.layer));
  });
}

}  // namespace ito
