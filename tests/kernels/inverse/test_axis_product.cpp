// SPDX-License-Identifier: Apache-2.0
// Products along an axis against plain loops, and that a band's outside is not read.
#include "kernels/inverse/axis_product.h"

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

TEST(AxisProduct, IsTheSumOverTheBand) {
  struct Case {
    int64_t outer, rows, columns, inner;
  };
  for_each_case(std::vector<Case>{{1, 1, 1, 1}, {3, 4, 7, 5}, {2, 9, 3, 1}, {1, 33, 70, 2}},
                [](Stream& stream, const Case& c) {
                  const Values a = stored<float>(random_values(static_cast<size_t>(c.rows * c.columns), 1));
                  const Values x = stored<float>(random_values(static_cast<size_t>(c.outer * c.columns * c.inner), 2));
                  Values bands, outside = a;
                  for (int64_t r = 0; r < c.rows; ++r) {
                    const int64_t begin = r % c.columns, end = std::min(c.columns, begin + r % 4);
                    bands.push_back(static_cast<double>(begin));
                    bands.push_back(static_cast<double>(end));
                    for (int64_t l = 0; l < c.columns; ++l)
                      if (l < begin || l >= end) outside[static_cast<size_t>(r * c.columns + l)] = NAN;
                  }
                  Values want, size;
                  for (int64_t o = 0; o < c.outer; ++o)
                    for (int64_t r = 0; r < c.rows; ++r)
                      for (int64_t i = 0; i < c.inner; ++i) {
                        double sum = 0, terms = 0;
                        for (int64_t l = static_cast<int64_t>(bands[static_cast<size_t>(2 * r)]);
                             l < static_cast<int64_t>(bands[static_cast<size_t>(2 * r + 1)]); ++l) {
                          const double term = a[static_cast<size_t>(r * c.columns + l)] *
                                              x[static_cast<size_t>((o * c.columns + l) * c.inner + i)];
                          sum += term, terms += std::fabs(term);
                        }
                        want.push_back(sum);
                        size.push_back(terms);
                      }
                  DeviceArray<float> matrix(stream, outside), from(stream, x), to(stream, want.size());
                  DeviceArray<int32_t> band(stream, bands);
                  axis_product(stream, to, from, {int(c.rows), int(c.columns), matrix, band}, c.outer, c.inner);
                  // At most three terms, each rounded with the sum.
                  expect_close("y", to.values(), want, 0, 3 * kRoundFloat, size);
                });
}

}  // namespace
}  // namespace ito::test
