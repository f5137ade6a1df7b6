// SPDX-License-Identifier: Apache-2.0
// Rows of an image of which several ops read a slice each, as blocks of transformers read their shifts, scales and
// gates of one linear layer's result.
#pragma once
#include <initializer_list>
#include <string>

#include "engine/program/program.h"

namespace ito {

struct ImageRows {
  int n = 0, width = 0;
  // The gradient of such an input, to which the op adds its slices: whoever comes first finds zeros. Null: not wanted.
  float* gradient(Stream& stream, const OpData& data, int input) const {
    const DataRef all = data.din(input);
    if (all && data.din_write(input) == Write::Set)
      fill_bytes(stream, all.data, 0, sizeof(float) * static_cast<size_t>(n) * static_cast<size_t>(width));
    return all.as<float>();
  }
};

// Checks that slices as wide as x, beginning at these numbers (negative: absent), lie in rows of x's images.
inline ImageRows image_rows(const Program& program, const std::string& name, Value rows, const TensorShape& x,
                            std::initializer_list<int> slices) {
  const ValueInfo& in = program.info(rows);
  ITO_CHECK(in.h == 1 && in.w == 1 && in.type == DType::F32 && in.n == x.n, name, ": rows of ", x.n,
            " images expected, got ", in.name);
  for (const int at : slices)
    ITO_CHECK(at + x.c <= in.c, name, ": ", x.c, " numbers from ", at, " on, of rows of ", in.c);
  return {in.n, in.c};
}

}  // namespace ito
