// SPDX-License-Identifier: Apache-2.0
// Stamps against the host's clock: a step is at least what the host slept between its ends, and at most what passed.
#include "kernels/optim/step_clock.h"

#include <chrono>
#include <thread>

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;
constexpr nanoseconds kOwn(3'000'000), kWaits(2'000'000), kSlack(20'000);  // of two clocks

StepClock read(Stream& stream, const StepClock* clock) {
  StepClock host{};
  copy_to_host(stream, &host, clock, sizeof host);
  return host;
}

TEST(StepClock, AddsUpStepsAndWhatTheyWaited) {
  Stream stream;
  DeviceArray<char> memory(stream, sizeof(StepClock));
  auto* clock = reinterpret_cast<StepClock*>(static_cast<char*>(memory));
  fill_bytes(stream, clock, 0, sizeof *clock);
  const auto at = [&](Stamp point, nanoseconds then = {}) {
    stamp(stream, clock, point);
    stream.synchronize();
    std::this_thread::sleep_for(then);
  };
  nanoseconds most{};
  for (int step = 1; step <= 2; ++step) {
    const Clock::time_point begin = Clock::now();
    at(Stamp::Begin, kOwn);
    for (int wait = 0; wait < 2; ++wait) {
      at(Stamp::Wait, kWaits);
      at(Stamp::Resume, kOwn);
    }
    at(Stamp::End, kOwn);
    most += Clock::now() - begin + kSlack;
    const StepClock now = read(stream, clock);
    EXPECT_EQ(now.steps, step);
    EXPECT_GE(nanoseconds(now.waited), step * (2 * kWaits - kSlack));
    EXPECT_GE(nanoseconds(now.nanoseconds - now.waited), step * (3 * kOwn - kSlack));
    EXPECT_LE(nanoseconds(now.nanoseconds), most - step * kOwn) << "what comes after the end is no part of a step";
  }
  const Graph graph = stream.capture([&] {
    for (const Stamp point : {Stamp::Begin, Stamp::Wait, Stamp::Resume, Stamp::End}) stamp(stream, clock, point);
  });
  for (int step = 3; step <= 5; ++step) {
    const StepClock before = read(stream, clock);
    stream.replay(graph);
    const StepClock now = read(stream, clock);
    EXPECT_EQ(now.steps, step);
    EXPECT_GE(now.waited, before.waited);
    EXPECT_GE(now.nanoseconds - before.nanoseconds, now.waited - before.waited);
  }
  EXPECT_THROW(stamp(stream, nullptr, Stamp::Begin), Error);
}

}  // namespace
}  // namespace ito::test
