// SPDX-License-Identifier: Apache-2.0
// The fast transform against its matrix.
#include "kernels/inverse/walsh_hadamard.h"

#include <bit>

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

TEST(WalshHadamard, IsItsMatrix) {
  for (const size_t length : {1, 2, 4, 8, 16, 32, 128}) {
    SCOPED_TRACE(length);
    Stream stream;
    const size_t outer = 2, inner = 3, count = outer * length * inner;
    const Values x = stored<float>(random_values(count, length));
    Values want, size;
    for (size_t o = 0; o < outer; ++o)
      for (size_t k = 0; k < length; ++k)
        for (size_t i = 0; i < inner; ++i) {
          double sum = 0, terms = 0;
          for (size_t l = 0; l < length; ++l) {
            const double value = x[(o * length + l) * inner + i];
            sum += std::popcount(k & l) % 2 ? -value : value;
            terms += std::fabs(value);
          }
          want.push_back(sum / std::sqrt(static_cast<double>(length)));
          size.push_back(terms / std::sqrt(static_cast<double>(length)));
        }
    DeviceArray<float> v(stream, x);
    walsh_hadamard(stream, v, outer, static_cast<int64_t>(length), inner);
    // A rounding a stage, of which there are at most 7, and two of the scale.
    expect_close("W x", v.values(), want, 0, 9 * kRoundFloat, size);
  }
}

}  // namespace
}  // namespace ito::test
