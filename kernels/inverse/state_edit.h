// SPDX-License-Identifier: Apache-2.0
// A solver's edit of the state in coordinates where the measurement is diagonal: each coordinate becomes
//   out = d D + x X + y Y + z Z
// with the network's estimate D, the state X, the data Y and noise Z there, and four coefficients that depend on the
// row and on the coordinate's singular value alone. Rows point at sets of them, since many share one (the steps of a
// level).
#pragma once
#include "kernels/random/sample_counter.h"
#include "kernels/seams/device.h"

namespace ito {

struct EditCoefficients {
  float d = 0, x = 0, y = 0, z = 0;
};

struct EditRow {
  int32_t set = 0;    // of coefficients
  int32_t draw = -1;  // step word of z; -1: none is drawn
};

// All in device memory.
struct EditTable {
  const EditCoefficients* sets = nullptr;  // (sets, values)
  int values = 1;                          // distinct singular values
  const EditRow* rows = nullptr;           // a row of the loop each
};

// What an edit reads: (N, size) each, null where no set has a coefficient for it.
struct EditSources {
  const float *d = nullptr, *x = nullptr, *y = nullptr, *z = nullptr;
};

// out (N, size), which may be one of the sources. value_of (size): the number of a coordinate's value, or null: all are
// 0. row: the number of the row that runs, or null: the first.
void edit_state(Stream& stream, float* out, const EditSources& sources, const EditTable& table, const int32_t* value_of,
                const int64_t* row, int n, int64_t size);

// z (N, size) = standard normals of Purpose::ReverseNoise at the row's draw, 0 for a row without one.
void draw_edit_noise(Stream& stream, float* z, const EditRow* rows, const int64_t* row, const SampleCounter& counter,
                     int n, int64_t size);

}  // namespace ito
