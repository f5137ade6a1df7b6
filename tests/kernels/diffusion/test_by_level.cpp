// SPDX-License-Identifier: Apache-2.0
// Statistics by level against plain fp64 loops.
#include "kernels/diffusion/by_level.h"

#include "tests/cases/forward_row.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/diffusion.h"
#include "tests/ref/forward_row.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;
constexpr double kNormalError = 5.77 * (3e-7 + 4 * u);  // of one fp32 normal; see test_sample_noise.cpp

// Images in their order, level by level; sums in double of quotients of floats, so equal up to a few roundings of
// theirs.
TEST(ByLevel, ErrorsAreARunningMean) {
  Stream stream;
  const int levels = 5, n = 40;
  std::vector<ForwardRow> rows(n);
  Values loss(n);
  for (int i = 0; i < n; ++i) {
    rows[i].level = i * i % levels;
    rows[i].weight = 0.5f + 0.25f * (i % 3);
    loss[i] = 0.01 * (i + 1);
  }
  rows[7].weight = 0;
  loss[11] = INFINITY;
  loss = stored<float>(loss);
  DeviceArray<ForwardRow> device_rows(stream, n);
  device_rows.upload_raw(rows);
  DeviceArray<float> device_loss(stream, loss);
  Values want(2 * levels, 0.0);
  want[2] = 3, want[3] = 1.5;
  DeviceArray<double> sums(stream, want);
  for (const double decay : {0.99, 1.0}) {
    accumulate_by_level(stream, sums, levels, device_loss, device_rows, n, decay);
    for (int i = 0; i < n; ++i) {
      if (i == 7 || i == 11) continue;
      double* of = &want[2 * rows[i].level];
      of[0] = decay * of[0] + 1;
      of[1] = decay * of[1] + loss[i] / rows[i].weight;
    }
    expect_close("sums", sums.raw(), want, 0, 1e-14, want);
  }
}

template <class T>
class LevelMoments : public ::testing::Test {
 protected:
  Stream stream;
};
TYPED_TEST_SUITE(LevelMoments, StorageTypes);

// A state or target is a few roundings and normals' errors of its terms off, an estimate as much through its two
// coefficients; a product of two numbers of that kind twice that, relative to their sizes.
TYPED_TEST(LevelMoments, MatchFp64) {
  using T = TypeParam;
  const int n = static_cast<int>(cases::kForwardRows.size());
  DeviceArray<ForwardRow> rows(this->stream, n);
  rows.upload_raw(cases::kForwardRows);
  std::vector<MomentRow> reads(n);
  for (int i = 0; i < n; ++i) reads[i] = {1.5f + 0.1f * i, -0.75f, 0.25f, 0.5f + 0.05f * i};
  DeviceArray<MomentRow> device_reads(this->stream, n);
  device_reads.upload_raw(reads);
  for (const auto& [pixels, c, wide] : {std::tuple{1, 1, false}, {35, 3, false}, {35, 3, true}, {700, 2, true}}) {
    const int64_t size = pixels * c;
    SampleCounter counter;
    counter.seed = 4, counter.first = 19;
    const ref::ForwardCase s = {.x0 = stored<float>(random_values(n * size, 1)),
                                .eps = ref::normals(4, 0, 19, purpose_word(Purpose::Noise), n, size),
                                .eps2 = ref::normals(4, 0, 19, purpose_word(Purpose::SecondNoise), n, size),
                                .rows = cases::kForwardRows,
                                .image_size = size,
                                .batch = n};
    const int width = wide ? 2 : 1;
    const Values pred = stored<T>(random_values(width * n * size, 2));
    DeviceArray<float> x0(this->stream, s.x0);
    DeviceArray<T> answer(this->stream, pred);
    DeviceArray<double> moments(this->stream, 3 * n), alone(this->stream, 3);
    level_moments(this->stream, moments, answer.data(), wide, x0, rows, device_reads, counter, n, pixels, c);
    Values want(3 * n, 0.0), bound(3 * n, 0.0);
    for (int64_t i = 0; i < n * size; ++i) {
      const int64_t image = i / size;
      const ForwardRow& row = cases::kForwardRows[image];
      const MomentRow& read = reads[image];
      const double a = pred[i / c * width * c + i % c], x = ref::noised(s, i), t = ref::target(s, i);
      const double estimate = read.x0_from_x * x + read.x0_from_pred * a;
      const double mean = read.mean_from_x0 * s.x0[i] + read.mean_from_x * x;
      const double normal = kNormalError * (std::fabs(row.eps) + std::fabs(row.eps2) + std::fabs(row.target_eps) +
                                            std::fabs(row.target_eps2));
      const double off = 4 * (normal + 4 * u * (4 + std::fabs(x) + std::fabs(t)));
      want[3 * image] += (t - a) * (t - a) / size;
      want[3 * image + 1] += (mean - estimate) * (x - estimate) / size;
      want[3 * image + 2] += (x - estimate) * (x - estimate) / size;
      bound[3 * image] += 2 * off * (std::fabs(t - a) + off) / size;
      bound[3 * image + 1] += 2 * off * (std::fabs(mean - estimate) + std::fabs(x - estimate) + off) / size;
      bound[3 * image + 2] += 2 * off * (2 * std::fabs(x - estimate) + off) / size;
    }
    expect_close(join_text("moments of ", pixels, " x ", c), moments.raw(), want, 0, 1, bound);
    counter.first += n - 1;
    DeviceArray<ForwardRow> last_row(this->stream, 1);
    last_row.upload_raw({cases::kForwardRows.back()});
    DeviceArray<MomentRow> last_read(this->stream, 1);
    last_read.upload_raw({reads.back()});
    level_moments(this->stream, alone, answer.data() + (n - 1) * size * width, wide, x0.data() + (n - 1) * size,
                  last_row, last_read, counter, 1, pixels, c);
    EXPECT_EQ(alone.bits(), moments.bits().substr(3 * (n - 1) * sizeof(double)));
  }
}

}  // namespace
}  // namespace ito::test
