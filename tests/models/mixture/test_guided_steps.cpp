// SPDX-License-Identifier: Apache-2.0
// Guidance in an interval, along the rows of every sampler and of every solver: a row outside asks the network once,
// and what comes of it has the bits of a run that asks twice everywhere, captured and not. Asks are counted by the
// ranges that the network's op opens.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "engine/inverse/restoration.h"
#include "engine/program/guided_network.h"
#include "engine/reverse/reverse_process.h"
#include "engine/samplers/sampler.h"
#include "kernels/random/host_normal.h"
#include "kernels/seams/ranges.h"
#include "models/model_on_device.h"
#include "tests/models/mixture/two_bumps.h"

namespace ito::test {
namespace {

constexpr int kImages = 2;
constexpr int32_t kClasses[kImages] = {0, 1};
using Floats = std::vector<float>;

// The middle third of a table's times; count: rows with a time in it.
struct Middle {
  GuidanceWeight weight;
  int64_t count;
};
Middle middle_of(const ReverseTable& table, float weight) {
  Floats times = times_of(table), sorted = times;
  std::ranges::sort(sorted);
  const float from = sorted[sorted.size() / 3], to = sorted[sorted.size() * 2 / 3];
  return {{.weight = weight, .from = from, .to = to},
          std::ranges::count_if(times, [&](float time) { return time >= from && time <= to; })};
}

// How often the network answers while `work` runs.
template <class Work>
int64_t answers(const Work& work) {
  timeline_start();
  work();
  return std::ranges::count(timeline_take(), "mixture", &TimelineEvent::name);
}

class GuidedSteps : public ::testing::Test {
 protected:
  void SetUp() override { set_device_threads(1); }  // launches of a few numbers
  void TearDown() override { set_device_threads(0); }

  Network guided_by(const GuidanceWeight& weight) const {
    return guided(loaded.network, {.weight = weight, .guide = {}});
  }
  // The same, of which nothing is left out.
  Network in_full(const GuidanceWeight& weight) const {
    Network network = guided_by(weight);
    network.aside_idle = nullptr;
    return network;
  }
  // run(network, capture) -> numbers, along the table's rows `runs` times. calls: of the network in a row. measured:
  // what the model says may count for nothing at the end.
  template <class Run>
  void check(const ReverseTable& table, const Run& run, int64_t runs, int64_t calls = 1, bool measured = false) {
    const Middle middle = middle_of(table, 2.5f);
    const auto rows = static_cast<int64_t>(table.rows.size());
    ASSERT_GT(middle.count, 0);
    ASSERT_LT(middle.count, rows);
    Floats eager, full, one, plain;
    EXPECT_EQ(answers([&] { eager = run(guided_by(middle.weight), false); }), calls * runs * (rows + middle.count));
    EXPECT_EQ(answers([&] { full = run(in_full(middle.weight), false); }), calls * runs * 2 * rows);
    EXPECT_EQ(eager, full);
    EXPECT_EQ(run(guided_by(middle.weight), true), full) << "captured";
    EXPECT_EQ(answers([&] { one = run(guided_by(always(1)), false); }), calls * runs * rows);
    plain = run(loaded.network, false);
    EXPECT_EQ(one, plain);
    if (!measured) {
      EXPECT_NE(eager, plain) << "guidance that leads nowhere";
    }
  }

  TempFolder folder;
  ModelOnDevice loaded = load_model(folder.write("m.json", json_text(images_of_two_classes())), 0, 0);
};

TEST_F(GuidedSteps, OfEverySampler) {
  for (const Sampler* sampler : samplers()) {
    if (sampler->adaptive) continue;  // its times are not known ahead
    SCOPED_TRACE(sampler->name);
    SchedulerConfig config = loaded.scheduler;
    if (sampler->families != kAllFamilies) config.family = Family::VpSde;
    const ReverseTable table =
        sampling_table(*sampler, NoiseSchedule(config),
                       {.steps = sampler->grid == GridKind::Continuous ? 30 : 6, .clip_sample = false});
    check(
        table,
        [&](const Network& network, bool capture) {
          ReverseProcess process(network, table, nullptr, {.batch = kImages, .seed = 11, .capture = capture});
          process.all(0, kImages, nullptr, kClasses);  // a loop is replayed for the next batch
          return process.all(kImages, kImages, nullptr, kClasses).numbers;
        },
        2);
  }
}

// A watched run goes row by row, and sees them all.
TEST_F(GuidedSteps, RowByRow) {
  const ReverseTable table = sampling_table(sampler_named("heun"), NoiseSchedule(loaded.scheduler), {.steps = 6});
  const GuidanceWeight weight = middle_of(table, 2.5f).weight;
  for (const bool capture : {true, false}) {
    ReverseProcess process(guided_by(weight), table, nullptr, {.batch = kImages, .seed = 11, .capture = capture});
    const Floats whole = process.all(0, kImages, nullptr, kClasses).numbers;
    std::vector<int> before, after, rows;
    const RowWatch watch{.before = [&](int row) { before.push_back(row); },
                         .after = [&](int row) { after.push_back(row); }};
    EXPECT_EQ(process.all(0, kImages, nullptr, kClasses, watch).numbers, whole);
    for (int i = 0; i < static_cast<int>(table.rows.size()); ++i) rows.push_back(i);
    EXPECT_EQ(before, rows);
    EXPECT_EQ(after, rows);
    EXPECT_EQ(process.rows_done(), 2 * static_cast<int64_t>(rows.size()));
  }
}

// With a pull-back through it where a solver has one, which asks again for another.
TEST_F(GuidedSteps, OfEverySolver) {
  const NoiseSchedule schedule(loaded.scheduler);
  for (const Solver* solver : solvers()) {
    int fitting = 0;
    for (const char* what : {"denoise", "hdr"}) {
      constexpr double kNoise = 2;  // that of many rows is more and of many less, for what begins at the noisy image
      const auto op = measurement_operator(what, loaded.network.image);
      if (!fits(*solver, *op, kNoise)) continue;
      SCOPED_TRACE(testing::Message() << solver->name << " " << what);
      const auto plan = [&] { return restore_plan(*solver, schedule, {.steps = 12}, *op, kNoise); };
      Floats y;
      for (uint32_t i = 0; i < kImages * op->measurements(); ++i)
        y.push_back(static_cast<float>(0.5 * host_normal(philox4x32(77, i, 0, 0, 0x50F7u), 0)));
      const auto run = [&](const Network& network, bool capture) {
        Restoration restoration(network, nullptr, *op, plan(), {.batch = kImages, .seed = 5, .capture = capture});
        return restoration.restore(0, kImages, y.data(), kClasses).samples;
      };
      const ReverseTable table = plan().table;
      Floats once;
      const int64_t all = answers([&] { once = run(loaded.network, false); });
      const auto rows = static_cast<int64_t>(table.rows.size());
      ASSERT_EQ(all % rows, 0);
      check(table, run, 1, all / rows, true);
      ++fitting;
    }
    EXPECT_GE(fitting, 1) << solver->name;
  }
}

}  // namespace
}  // namespace ito::test
