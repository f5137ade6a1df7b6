// SPDX-License-Identifier: Apache-2.0
// See the header. Independent elements; bytes an element: 4 read where there is a source, 4 written, and the index,
// which all images share and find in cache.
#include "kernels/inverse/gather.h"

#include "dialect.h"

namespace ito {
namespace {

DEVICE void gather_item(int64_t i, float* to, const float* from, const int32_t* index, int64_t to_size,
                        int64_t from_size, float scale) {
  const int64_t image = i / to_size;
  const int32_t source = index[i - image * to_size];
  to[i] = source < 0 ? 0.0f : scale * from[image * from_size + source];
}

}  // namespace

void gather(Stream& stream, float* to, const float* from, const int32_t* index, int n, int64_t to_size,
            int64_t from_size, float scale) {
  ITO_CHECK(n >= 0 && to_size > 0 && from_size > 0 && to && from && index && to != from, "gather: N ", n, ", ",
            from_size, " to ", to_size, " numbers, expected positive sizes, an index and two places");
  for_each<gather_item>("gather", n * to_size, stream, to, from, index, to_size, from_size, scale);
}

}  // namespace ito
