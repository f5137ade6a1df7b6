// SPDX-License-Identifier: Apache-2.0
// Passes and batches that are as large as the memory allows and no larger, and that training takes what was foretold.
#include "engine/training/fit_memory.h"

#include <gtest/gtest.h>

#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

TEST(FitMemory, LargestWithin) {
  const auto largest = [](size_t limit, int most, int bend, int* asked) {
    return largest_within(limit, most, [=](int images) {
      ++*asked;
      return static_cast<size_t>(1000 + 7 * images + (images > bend ? 13 * (images - bend) : 0));
    });
  };
  const auto truly = [](size_t limit, int most, int bend) {
    int n = 0;
    while (n < most && static_cast<size_t>(1000 + 7 * (n + 1) + (n + 1 > bend ? 13 * (n + 1 - bend) : 0)) <= limit) ++n;
    return n;
  };
  for (const size_t limit : {0, 1006, 1007, 1013, 1014, 1500, 5000, 1 << 20})
    for (const int most : {1, 2, 100, 65536})
      for (const int bend : {1 << 20, 3, 90}) {
        int asked = 0;
        EXPECT_EQ(largest(limit, most, bend, &asked), truly(limit, most, bend))
            << limit << ", " << most << ", " << bend;
        EXPECT_LE(asked, bend > most ? 5 : 20);
      }
}

TEST(FitMemory, MicroBatchesAreAsLargeAsFits) {
  const Network network = tiny_network();
  SchedulerConfig config;
  const NoiseSchedule schedule(config);
  const int chunk = images_per_chunk();
  TrainSettings settings;
  settings.batch = 5 * chunk + 1;
  settings.learning_rate.steps = 10;
  const auto needs = [&](int micro) {
    TrainSettings with = settings;
    with.micro_batch = micro;
    return Trainer::bytes_needed(network, schedule, with);
  };
  const auto found = [&](size_t limit) { return largest_micro_batch(network, schedule, settings, limit); };
  EXPECT_EQ(found(SIZE_MAX), settings.batch);
  for (const int micro : {settings.batch, 4 * chunk, 2 * chunk, chunk}) {
    EXPECT_EQ(found(needs(micro)), micro);
    if (micro > chunk) {
      EXPECT_LT(found(needs(micro) - 1), micro);
    }
  }
  EXPECT_EQ(found(0), chunk);
  settings.micro_batch = found(needs(2 * chunk));
  const size_t before = device_bytes_in_use();
  const Trainer trainer(network, schedule, settings, needs(2 * chunk));
  EXPECT_EQ(device_bytes_in_use() - before, trainer.planned_bytes());
  EXPECT_LE(trainer.planned_bytes(), needs(2 * chunk));
}

}  // namespace
}  // namespace ito::test
