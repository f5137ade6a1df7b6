// SPDX-License-Identifier: Apache-2.0
// The convolution on tensor cores under every order of threads that the executor has: the same bits.
#include "kernels/dialect/sim/executor.h"
#include "kernels/nn/conv_sm80.h"
#include "tests/kernels/nn/conv_sm80_run.h"

namespace ito::test {
namespace {

TEST(ConvSm80Schedules, GiveTheSameBits) {
  // Wide, square and narrow tiles, whole and ragged channels, an embedding of several images in a tile, moments, sums
  // of a norm over one image of a wide tile and two, and over several of a square one.
  const std::vector<ConvSm80Shape> shapes = {{{16, 8, 72, 72, 1, 1, 1, 0, 0, 0, 0}},
                                             {{4, 4, 40, 40, 3, 3, 1, 1, 1, 1, 1}, 0, false, 24},
                                             {{8, 8, 3, 12, 3, 3, 2, 0, 0, 1, 1}},
                                             {{8, 8, 72, 8, 1, 1, 1, 0, 0, 0, 0}}};
  for (const ConvSm80Shape& shape : shapes) {
    Stream stream;
    const ConvShape& c = shape.conv;
    const int n = 2, rows = conv_sm80_moment_rows(shape), norm_rows = conv_sm80_norm_rows(shape);
    const ConvSm80Tensors t(shape, n);
    ConvSm80Layer layer(stream, shape, n, t);
    const DeviceArray<bf16> x(stream, t.x);
    const DeviceArray<float> chain(stream, random_values(size_t(3) * n * c.c, 10));
    const auto bits = [&](SimSchedule kind, uint64_t seed) {
      sim_set_schedule(kind, seed);
      DeviceArray<float> moments(stream, size_t(n) * rows * c.k * 2 + 1), dw(stream, c.weights()), db(stream, c.k);
      DeviceArray<float> dv(stream, size_t(c.k) * shape.shortcut_c + 1);
      DeviceArray<bf16> dx(stream, t.x.size()), dz(stream, t.x.size());
      DeviceArray<float> sums(stream, size_t(3) * n * norm_rows * c.c);
      const std::string y = layer.forward(15, rows ? moments.data() : nullptr).bits();
      layer.backward_data({dx});
      if (norm_rows) {
        ConvSm80DataGradient gradient{dz};
        gradient.norm = {x, nullptr, 0, true, chain, sums};
        layer.backward_data(gradient);
      }
      layer.backward_weight({dw, dv, db});
      sim_set_schedule(SimSchedule::Forward);
      return y + moments.bits() + dx.bits() + dz.bits() + sums.bits() + dw.bits() + dv.bits() + db.bits();
    };
    const std::string forward = bits(SimSchedule::Forward, 0);
    EXPECT_TRUE(bits(SimSchedule::Reverse, 0) == forward);
    for (const uint64_t seed : {1, 2}) EXPECT_TRUE(bits(SimSchedule::Seeded, seed) == forward) << seed;
  }
}

}  // namespace
}  // namespace ito::test
