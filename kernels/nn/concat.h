// SPDX-License-Identifier: Apache-2.0
// Channel concatenation y = [a, b] and its gradient; rows = N*H*W. a (rows, CA), b (rows, CB), y (rows, CA + CB).
#pragma once
#include "kernels/seams/device.h"

namespace ito {

void concat_channels(Stream& stream, DataRef y, ConstDataRef a, ConstDataRef b, int64_t rows, int ca, int cb);
// da, db: either may be null (not wanted).
void split_channels(Stream& stream, DataRef da, Write write_a, DataRef db, Write write_b, ConstDataRef dy, int64_t rows,
                    int ca, int cb);

}  // namespace ito
