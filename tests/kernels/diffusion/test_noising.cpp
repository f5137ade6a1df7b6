// SPDX-License-Identifier: Apache-2.0
// The draw of levels and the noised images, against fp64.
#include "kernels/diffusion/noising.h"

#include "tests/cases/forward_row.h"
#include "tests/cases/pointwise.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/diffusion.h"
#include "tests/ref/forward_row.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;
constexpr double kNormalError = 5.77 * (3e-7 + 4 * u);  // of one fp32 normal; see test_sample_noise.cpp

TEST(DrawLevels, AreUniformAndIndexed) {
  Stream stream;
  const int n = 20000, levels = 10;
  std::vector<ForwardRow> host(levels);
  for (int i = 0; i < levels; ++i) host[i] = {.timestep = 3.0f * i, .x0 = 0.5f * i, .weight = 1.0f + i, .level = i};
  DeviceArray<ForwardRow> table(stream, levels), rows(stream, n), later(stream, 100);
  table.upload_raw(host);
  SampleCounter counter;
  counter.seed = 77, counter.first = 1000;
  draw_levels(stream, rows, table, levels, {}, counter, n);
  Values count(levels, 0.0);
  const std::vector<ForwardRow> got = rows.raw();
  for (int i = 0; i < n; ++i) {
    const Random4 r = philox4x32(77, 0, 0, 1000 + static_cast<uint32_t>(i), purpose_word(Purpose::Timestep));
    const ForwardRow& want = host[uniform_below(r.v[0], levels)];
    ASSERT_EQ(std::memcmp(&got[i], &want, sizeof want), 0) << "image " << i << ": level " << got[i].level;
    count[got[i].level] += 1;
  }
  double chi2 = 0;
  for (double c : count) chi2 += (c - n / levels) * (c - n / levels) / (n / levels);
  EXPECT_LT(chi2, 33.7);  // nine degrees of freedom, p = 1e-4
  counter.first += 500;   // images 500 .. 599 of the same step
  draw_levels(stream, later, table, levels, {}, counter, 100);
  EXPECT_EQ(later.bits(), rows.bits().substr(500 * sizeof(ForwardRow), 100 * sizeof(ForwardRow)));
}

template <class T>
class AddNoise : public ::testing::Test {
 protected:
  Stream stream;
};
TYPED_TEST_SUITE(AddNoise, StorageTypes);

TYPED_TEST(AddNoise, MatchesFp64) {
  using T = TypeParam;
  const int n = static_cast<int>(cases::kForwardRows.size());
  DeviceArray<ForwardRow> rows(this->stream, n);
  rows.upload_raw(cases::kForwardRows);
  for (const int64_t size : cases::kImageElements) {
    const ref::ForwardCase s = {.x0 = stored<float>(random_values(n * size, 1)),
                                .eps = ref::normals(3, 0, 41, purpose_word(Purpose::Noise), n, size),
                                .eps2 = ref::normals(3, 0, 41, purpose_word(Purpose::SecondNoise), n, size),
                                .rows = cases::kForwardRows,
                                .image_size = size,
                                .batch = n};
    DeviceArray<float> x0(this->stream, s.x0), timestep(this->stream, n);
    DeviceArray<T> x_t(this->stream, n * size), alone(this->stream, size);
    SampleCounter counter;
    counter.seed = 3, counter.first = 41;
    add_noise(this->stream, x_t.data(), timestep, x0, rows, counter, n, size);
    Values want(n * size), allowed(n * size);
    for (size_t i = 0; i < want.size(); ++i) {
      const ForwardRow& row = s.row_of(i);
      want[i] = ref::noised(s, i);
      const double terms =
          std::fabs(row.x0 * s.x0[i]) + std::fabs(row.eps * s.eps[i]) + std::fabs(row.eps2 * s.eps2[i]);
      allowed[i] = 3 * u * terms + kNormalError * (std::fabs(row.eps) + std::fabs(row.eps2));
    }
    expect_close(join_text("image size ", size), x_t.values(), want, kRound<T>, 1, allowed);
    Values times;
    for (const ForwardRow& row : cases::kForwardRows) times.push_back(row.timestep);
    EXPECT_EQ(timestep.values(), times);

    counter.first += n - 1;  // the last image alone: the same bits, with no timestep asked for
    add_noise(this->stream, alone.data(), nullptr, x0 + (n - 1) * size, rows + (n - 1), counter, 1, size);
    EXPECT_EQ(alone.bits(), x_t.bits().substr((n - 1) * size * sizeof(T)));
  }
}

TEST(NoisingErrors, NameWhatIsWrong) {
  Stream stream;
  DeviceArray<float> x(stream, 4);
  EXPECT_THROW(draw_levels(stream, nullptr, nullptr, 0, {}, {}, 1), Error);
  EXPECT_THROW(add_noise(stream, x.data(), nullptr, x, nullptr, {}, 1, 0), Error);
}

}  // namespace
}  // namespace ito::test
