// SPDX-License-Identifier: Apache-2.0
// Clipping, its derivative and quantisation against their definitions.
#include "kernels/inverse/pointwise_measurements.h"

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

TEST(PointwiseMeasurements, AreTheirDefinitions) {
  Stream stream;
  const Values x = stored<float>(random_values(101, 1, 0.5)), r = stored<float>(random_values(101, 2));
  DeviceArray<float> from(stream, x), pull(stream, r), to(stream, x.size());
  Values clipped, slope;
  for (size_t i = 0; i < x.size(); ++i) {
    clipped.push_back(std::min(1.0, std::max(-1.0, 2 * x[i])));
    slope.push_back(std::fabs(2 * x[i]) < 1 ? 2 * r[i] : 0);
  }
  clip_range(stream, to, from, 101);
  EXPECT_EQ(to.values(), clipped);
  clip_range_adjoint(stream, to, pull, from, 101);
  EXPECT_EQ(to.values(), slope);
  for (const int levels : {1, 3, 255}) {
    Values want;
    for (const double value : x) {
      const double inside = std::min(1.0, std::max(-1.0, value));
      want.push_back(2 * std::floor((inside + 1) / 2 * levels + 0.5) / levels - 1);
    }
    quantise(stream, to, from, levels, 101);
    expect_close("quantise", to.values(), want, 0, 4 * kRoundFloat);
  }
}

}  // namespace
}  // namespace ito::test
