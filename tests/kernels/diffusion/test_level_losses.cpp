// SPDX-License-Identifier: Apache-2.0
// The draw of levels by a table of chances, and the chances that follow the losses, against plain loops.
#include "kernels/diffusion/level_losses.h"

#include <numeric>

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

constexpr uint64_t kWords = uint64_t{1} << 32;
constexpr int kLevels = 7;

std::vector<ForwardRow> table_of(int levels) {
  std::vector<ForwardRow> table(levels);
  for (int i = 0; i < levels; ++i) table[i] = {.timestep = 1.0f * i, .weight = 1.0f + i, .level = i};
  return table;
}

uint32_t bits_of(uint32_t image) {
  return philox4x32(77, 0, 0, image, purpose_word(Purpose::Timestep)).v[0];
}

// A level that is never drawn is the first, one in the middle and the last; one has a single word.
TEST(DrawLevels, ByThresholds) {
  Stream stream;
  const int n = 20000;
  const std::vector<uint64_t> thresholds{0, kWords / 10, kWords / 10, kWords / 10 + 1, kWords / 2, kWords, kWords};
  const std::vector<ForwardRow> host = table_of(kLevels);
  std::vector<float> factors(kLevels);
  for (int i = 0; i < kLevels; ++i) factors[i] = 0.3f * static_cast<float>(i);
  DeviceArray<ForwardRow> table(stream, kLevels), rows(stream, n), later(stream, 100);
  DeviceArray<uint64_t> chances(stream, kLevels);
  DeviceArray<float> scale(stream, kLevels);
  table.upload_raw(host), chances.upload_raw(thresholds), scale.upload_raw(factors);
  SampleCounter counter;
  counter.seed = 77, counter.first = 1000;
  draw_levels(stream, rows, table, kLevels, {chances, scale}, counter, n);
  std::vector<double> count(kLevels, 0.0);
  const std::vector<ForwardRow> got = rows.raw();
  for (int i = 0; i < n; ++i) {
    const uint32_t bits = bits_of(1000 + static_cast<uint32_t>(i));
    int level = 0;
    while (thresholds[level] <= bits) ++level;
    ASSERT_EQ(got[i].level, level) << "image " << i;
    ASSERT_EQ(got[i].weight, host[level].weight * factors[level]);
    ASSERT_EQ(got[i].timestep, host[level].timestep);
    count[level] += 1;
  }
  EXPECT_EQ(count[0] + count[2] + count[6], 0);
  double chi2 = 0;
  for (const auto& [level, p] : {std::pair{1, 0.1}, {4, 0.4}, {5, 0.5}})
    chi2 += (count[level] - n * p) * (count[level] - n * p) / (n * p);
  EXPECT_LT(chi2, 18.4);  // two degrees of freedom, p = 1e-4
  counter.first += 500;   // the same images in another batch
  draw_levels(stream, later, table, kLevels, {chances, scale}, counter, 100);
  EXPECT_EQ(later.bits(), rows.bits().substr(500 * sizeof(ForwardRow), 100 * sizeof(ForwardRow)));
}

struct Kept {
  std::vector<float> losses;
  std::vector<int32_t> counts;
};

// Every loss divided by its factor, in the batch's order.
void record(Kept& kept, const std::vector<float>& loss, const std::vector<ForwardRow>& rows,
            const std::vector<float>& scale) {
  for (size_t i = 0; i < loss.size(); ++i) {
    const int level = rows[i].level;
    const float own = loss[i] / scale[level];
    if (!std::isfinite(own)) continue;
    int32_t& count = kept.counts[level];
    kept.losses[level * kLevelHistory + count % kLevelHistory] = own;
    count = count + 1 == 2 * kLevelHistory ? kLevelHistory : count + 1;
  }
}

TEST(LevelLosses, AreTheLastTenInTheBatchsOrder) {
  Stream stream;
  const int n = 33;
  Kept want{std::vector<float>(kLevels * kLevelHistory, 0.0f), std::vector<int32_t>(kLevels, 0)};
  DeviceArray<float> losses(stream, want.losses.size()), loss(stream, n), scale(stream, kLevels);
  DeviceArray<int32_t> counts(stream, kLevels), apply(stream, 1);
  DeviceArray<ForwardRow> rows(stream, n);
  losses.upload_raw(want.losses), counts.upload_raw(want.counts), apply.upload_raw({1});
  std::vector<float> factors(kLevels);
  for (int i = 0; i < kLevels; ++i) factors[i] = 0.25f + static_cast<float>(i);
  scale.upload_raw(factors);
  for (int step = 0; step < 9; ++step) {
    std::vector<float> batch(n);
    std::vector<ForwardRow> batch_rows(n);
    for (int i = 0; i < n; ++i) {
      batch[i] = 0.01f * static_cast<float>((17 * i + step * n) % 101);
      batch_rows[i] = {.level = static_cast<int32_t>(bits_of(step * n + i) % (kLevels - 1))};  // the last level never
    }
    if (step == 4) batch[3] = NAN, batch[5] = INFINITY;
    const bool skipped = step == 6;
    if (!skipped) record(want, batch, batch_rows, factors);
    loss.upload_raw(batch), rows.upload_raw(batch_rows), apply.upload_raw({skipped ? 0 : 1});
    record_level_losses(stream, losses, counts, loss, rows, scale, apply, kLevels, n);
    EXPECT_EQ(losses.raw(), want.losses) << "step " << step;
    EXPECT_EQ(counts.raw(), want.counts) << "step " << step;
  }
  EXPECT_EQ(want.counts[kLevels - 1], 0);
  EXPECT_GE(want.counts[0], kLevelHistory);
}

struct Chances {
  std::vector<uint64_t> thresholds;
  std::vector<float> scale;
  std::vector<double> p;  // of the thresholds
};

Chances chances_of(const std::vector<float>& losses, const std::vector<int32_t>& counts, double uniform) {
  Stream stream;
  const int levels = static_cast<int>(counts.size());
  DeviceArray<float> kept(stream, losses.size()), scale(stream, levels);
  DeviceArray<int32_t> taken(stream, levels);
  DeviceArray<uint64_t> thresholds(stream, levels);
  kept.upload_raw(losses), taken.upload_raw(counts);
  level_loss_chances(stream, thresholds, scale, kept, taken, levels, uniform);
  Chances got{thresholds.raw(), scale.raw(), {}};
  uint64_t before = 0;
  for (const uint64_t up_to : got.thresholds) {
    EXPECT_GE(up_to, before);
    got.p.push_back(static_cast<double>(up_to - before) / static_cast<double>(kWords));
    before = up_to;
  }
  EXPECT_EQ(before, kWords);
  return got;
}

std::vector<float> some_losses(int levels) {
  std::vector<float> losses(levels * kLevelHistory);
  for (size_t i = 0; i < losses.size(); ++i)
    losses[i] = 0.02f * static_cast<float>(1 + i / kLevelHistory % 50) * (1.0f + 0.1f * static_cast<float>(i % 7));
  return losses;
}

// Eq. 18 with its share of uniform draws. A chance is rounded down to 2^-32; the last level has the rest of all.
TEST(LevelLosses, ChancesAreTheRootsOfTheSecondMoments) {
  for (const int levels : {1, 5, 256, 1000, 1037})
    for (const double uniform : {0.0, 1e-3, 1.0}) {
      const std::vector<float> losses = some_losses(levels);
      const Chances got = chances_of(losses, std::vector<int32_t>(levels, kLevelHistory), uniform);
      std::vector<double> root(levels);
      for (int t = 0; t < levels; ++t) {
        double squares = 0;
        for (int i = 0; i < kLevelHistory; ++i) squares += std::pow(losses[t * kLevelHistory + i], 2) / kLevelHistory;
        root[t] = std::sqrt(squares);
      }
      const double total = std::accumulate(root.begin(), root.end(), 0.0);
      double expected_weight = 0;
      for (int t = 0; t < levels; ++t) {
        const double p = (1 - uniform) * root[t] / total + uniform / levels;
        EXPECT_NEAR(got.p[t], p, (t + 1 == levels ? levels : 1) * 0x1p-32) << t << " of " << levels;
        // The loss stays unbiased: chance times weight is 1 / T to the rounding of the weight.
        EXPECT_NEAR(got.p[t] * static_cast<double>(got.scale[t]) * levels, 1, 2 * kRoundFloat);
        expected_weight += got.p[t] * static_cast<double>(got.scale[t]);
      }
      EXPECT_NEAR(expected_weight, 1, 2 * kRoundFloat);
    }
}

// Until the last level has its ten losses, and where there is no loss at all, the draw has the bits of the uniform one.
TEST(LevelLosses, AreUniformUntilThereAreEnough) {
  for (const int levels : {1, 7, 1000}) {
    std::vector<int32_t> counts(levels, kLevelHistory + 3);
    counts[levels / 2] = kLevelHistory - 1;
    const Chances few = chances_of(some_losses(levels), counts, 1e-3);
    const Chances zero =
        chances_of(std::vector<float>(levels * kLevelHistory, 0.0f), std::vector<int32_t>(levels, kLevelHistory), 1e-3);
    for (const Chances& got : {few, zero}) {
      EXPECT_EQ(got.scale, std::vector<float>(levels, 1.0f));
      for (int t = 0; t + 1 < levels; ++t) {  // the first word above the threshold, and the last one below
        const auto edge = static_cast<uint32_t>(got.thresholds[t]);
        EXPECT_EQ(uniform_below(edge, levels), static_cast<uint32_t>(t + 1));
        EXPECT_EQ(uniform_below(edge - 1, levels), static_cast<uint32_t>(t));
      }
    }
  }
}

// A level whose losses are all zero is drawn by the uniform share alone, and without one never.
TEST(LevelLosses, ALevelWithoutLossKeepsItsShare) {
  std::vector<float> losses = some_losses(4);
  std::fill(losses.begin() + kLevelHistory, losses.begin() + 2 * kLevelHistory, 0.0f);
  const std::vector<int32_t> counts(4, kLevelHistory);
  EXPECT_NEAR(chances_of(losses, counts, 0.01).p[1], 0.0025, 0x1p-32);
  const Chances never = chances_of(losses, counts, 0);
  EXPECT_EQ(never.p[1], 0);
  EXPECT_EQ(never.scale[1], 0);
}

// The mean of drawn and weighted losses is the mean over all levels: five deviations of what importance leaves of them.
TEST(LevelLosses, DrawnLossesAreUnbiased) {
  Stream stream;
  const int levels = 50, n = 40000;
  const std::vector<float> losses = some_losses(levels);
  DeviceArray<float> kept(stream, losses.size()), scale(stream, levels);
  DeviceArray<int32_t> counts(stream, levels);
  DeviceArray<uint64_t> thresholds(stream, levels);
  DeviceArray<ForwardRow> table(stream, levels), rows(stream, n);
  std::vector<ForwardRow> host = table_of(levels);
  for (ForwardRow& row : host) row.weight = 1;
  kept.upload_raw(losses), counts.upload_raw(std::vector<int32_t>(levels, kLevelHistory)), table.upload_raw(host);
  level_loss_chances(stream, thresholds, scale, kept, counts, levels, 1e-3);
  SampleCounter counter;
  counter.seed = 77;
  draw_levels(stream, rows, table, levels, {thresholds, scale}, counter, n);
  // What an image of level t loses, twice as much every other time, so that something is left to deviate.
  const auto loss = [&](int level, int image) { return (0.02 + 0.02 * level) * (image % 2 ? 2.0 : 1.0); };
  double mean = 0, squares = 0, want = 0;
  const std::vector<ForwardRow> got = rows.raw();
  for (int i = 0; i < n; ++i) {
    const double weighted = got[i].weight * loss(got[i].level, i);
    mean += weighted / n, squares += weighted * weighted / n;
  }
  for (int t = 0; t < levels; ++t) want += (loss(t, 0) + loss(t, 1)) / 2 / levels;
  EXPECT_NEAR(mean, want, 5 * std::sqrt((squares - mean * mean) / n));
}

TEST(LevelLosses, ErrorsNameWhatIsWrong) {
  Stream stream;
  EXPECT_THROW(record_level_losses(stream, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 0, 1), Error);
  EXPECT_THROW(level_loss_chances(stream, nullptr, nullptr, nullptr, nullptr, 0, 0), Error);
  EXPECT_THROW(level_loss_chances(stream, nullptr, nullptr, nullptr, nullptr, 3, 2), Error);
}

}  // namespace
}  // namespace ito::test
