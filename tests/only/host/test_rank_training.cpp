// SPDX-License-Identifier: Apache-2.0
// Training on several ranks: every number that a checkpoint holds has the bits that one process gives it, whatever the
// number of ranks and the passes that each takes.
#include <cmath>
#include <fstream>
#include <iterator>
#include <vector>

#include "engine/training/trainer.h"
#include "kernels/seams/host/stream.h"
#include "tests/models/unet/tiny_unet.h"
#include "tests/only/host/run_ranks.h"

namespace ito::test {
namespace {

struct Case {
  int leaves, less, micro_leaves;  // a batch of so many chunks, less images; 0: passes as large as they may be
  DType compute;
  int bucket_spans;  // most a bucket, of the twelve that the network has; fewer than ranks leave some with nothing
};
const Case kCases[] = {{8, 0, 0, DType::F32, 1000}, {7, 2, 0, DType::BF16, 1}, {8, 1, 2, DType::F32, 5}};

void expect_times(Trainer& trainer, int64_t steps) {
  ExchangeTimes times = trainer.exchange_times();
  EXPECT_EQ(times.steps, steps);
  EXPECT_TRUE(steps == 0 || times.seconds_waiting > 0);
  EXPECT_TRUE(steps == 0 || times.seconds_waiting < times.seconds);
  trainer.clear_logged();
  times = trainer.exchange_times();
  EXPECT_EQ(times.steps, 0);
  EXPECT_EQ(times.seconds, 0);
  EXPECT_EQ(times.seconds_waiting, 0);
}

// The bytes of weights, moments, averaged weights, losses and statistics after a step that is not captured, and two
// replays of one that is: with what ranks exchange as early as the streams' waits allow, and as late.
std::vector<char> train(const Case& c, Communicator* ranks) {
  TrainSettings settings;
  settings.batch = c.leaves * images_per_chunk() - c.less;
  settings.micro_batch = c.micro_leaves * images_per_chunk();
  settings.compute = c.compute;
  settings.learning_rate.steps = 3;
  settings.learning_rate.peak = 1e-3;
  settings.ranks = ranks;
  settings.bucket_bytes = c.bucket_spans * kNormSpan * static_cast<int64_t>(sizeof(float));
  const Network network = tiny_network();
  Trainer trainer(network, NoiseSchedule({}), settings);
  trainer.set_weights(initial_weights(trainer.layout(), 3));
  const std::vector<float> x0 = draws(settings.batch * network.image.size(), 5);
  for (int step = 0; step < 3; ++step) {
    replay_branches(step == 1 ? BranchOrder::Early : BranchOrder::Late);
    trainer.step(x0.data() + trainer.own_images().first * network.image.size(), nullptr);
    for (const auto moment : {Trainer::Arena::FirstMoment, Trainer::Arena::SecondMoment})
      if (step == 0) trainer.upload(moment, trainer.download(moment));  // whole, and shared out again
  }
  std::vector<char> bytes;
  const auto add = [&](const void* data, size_t size) {
    bytes.insert(bytes.end(), static_cast<const char*>(data), static_cast<const char*>(data) + size);
  };
  for (const auto arena : {Trainer::Arena::Weights, Trainer::Arena::Gradients, Trainer::Arena::FirstMoment,
                           Trainer::Arena::SecondMoment, Trainer::Arena::Ema}) {
    const std::vector<float> values = trainer.download(arena);
    add(values.data(), sizeof(float) * values.size());
  }
  const TrainState state = trainer.state();
  EXPECT_TRUE(std::isfinite(state.loss_sum) && state.loss_sum > 0);
  add(&state.loss_sum, sizeof state.loss_sum);
  expect_times(trainer, ranks ? 3 : 0);
  const LevelStatistics statistics = trainer.statistics();
  add(statistics.error.data(), sizeof(double) * statistics.error.size());
  return bytes;
}

using RankTraining = Ranks;

TEST_F(RankTraining, TheBitsOfOneProcess) {
  if (is_child()) {
    Communicator ranks = start_communicator();
    std::ofstream out;
    if (ranks.rank() == 0) out.open(getenv("ITO_TEST_OUT"), std::ios::binary);
    for (const Case& c : kCases) {
      const std::vector<char> bytes = train(c, &ranks);
      if (ranks.rank() == 0) out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
    return;
  }
  std::vector<char> want;
  for (const Case& c : kCases) {
    const std::vector<char> bytes = train(c, nullptr);
    want.insert(want.end(), bytes.begin(), bytes.end());
  }
  const std::string file = testing::TempDir() + "ranks-" + std::to_string(getpid());
  for (const int ranks : kSanitized ? std::vector<int>{3} : std::vector<int>{2, 3, 5}) {
    const Outcome outcome = run_ranks(ranks, "ITO_TEST_OUT='" + file + "' ITO_MPI_MODULE=" ITO_MPI_MODULE_FILE, 200);
    ASSERT_EQ(outcome.status, 0) << outcome.text;
    std::ifstream in(file, std::ios::binary);
    const std::vector<char> got{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    ASSERT_EQ(got.size(), want.size()) << ranks << " ranks";
    EXPECT_TRUE(got == want) << ranks << " ranks";
  }
  unlink(file.c_str());
}

}  // namespace
}  // namespace ito::test
