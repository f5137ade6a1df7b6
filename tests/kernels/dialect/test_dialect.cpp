// SPDX-License-Identifier: Apache-2.0
// The words of the dialect that every build has: geometry, collectives, shared memory, items, vectors, capture.
// Values are small integers, so sums are exact in any order.
#include "dialect.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/seams/device.h"
#include "kernels/seams/ranges.h"
#include "tests/kernels/one_stream.h"

namespace ito {
namespace {

constexpr int kBlock = block_threads(128);

using test::test_stream;
template <class T>
using DeviceArray = test::TestArray<T>;

KERNEL void geometry(int* seen, int* bad) {
  const int linear = static_cast<int>((blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x);
  if (blockDim.x != static_cast<unsigned>(kBlock)) atomic_add(bad, 1);
  atomic_add(&seen[linear * kBlock + static_cast<int>(threadIdx.x)], 1);
}

TEST(Dialect, GridAndBlockCoverEveryThreadOnce) {
  const Dim3 grid(5, 3, 2);
  DeviceArray<int> seen(30 * kBlock), bad(1);
  Stream& stream = test_stream();
  launch<geometry>("geometry", grid, kBlock, 0, stream, seen.get(), bad.get());
  EXPECT_EQ(seen.read(), std::vector<int>(30 * kBlock, 1));
  EXPECT_EQ(bad.read()[0], 0);
  launch<geometry>("no blocks", Dim3(0, 3, 2), kBlock, 0, stream, seen.get(), bad.get());
  EXPECT_EQ(seen.read(), std::vector<int>(30 * kBlock, 1));
}

KERNEL void loops(int* grid_seen, int* block_seen, int n) {
  GRID_LOOP(i, n) atomic_add(&grid_seen[i], 1);
  BLOCK_LOOP(i, n) atomic_add(&block_seen[i], 1);
}

TEST(Dialect, LoopsCoverTheirRange) {
  Stream& stream = test_stream();
  for (const int n : {0, 1, 31, 128, 1000}) {
    DeviceArray<int> by_grid(n + 1), by_block(n + 1);
    launch<loops>("loops", 3, kBlock, 0, stream, by_grid.get(), by_block.get(), n);
    std::vector<int> once(n + 1, 1), thrice(n + 1, 3);
    once[n] = thrice[n] = 0;
    EXPECT_EQ(by_grid.read(), once) << n;
    EXPECT_EQ(by_block.read(), thrice) << n;
  }
}

template <class T>
KERNEL void reductions(const T* x, T* out, int n) {
  T sum = 0, largest = x[0];
  BLOCK_LOOP(i, n) {
    sum += x[i];
    largest = x[i] > largest ? x[i] : largest;
  }
  const T total = block_sum(sum), most = block_max(largest);
  // Every thread holds the result.
  if (block_sum(total == block_max(total) ? 0 : 1) == 0 && threadIdx.x == blockDim.x - 1) {
    out[0] = total;
    out[1] = most;
  }
  const T in_warp = warp_sum(sum), in_warp_max = warp_max(largest);
  const T again = block_sum(threadIdx.x % WARP == 0 ? in_warp : T(0));
  const T most_again = block_max(in_warp_max);
  if (threadIdx.x == 0) {
    out[2] = again;
    out[3] = most_again;
  }
}

template <class T>
void check_reductions() {
  constexpr int n = 1000;
  std::vector<T> x(n);
  for (int i = 0; i < n; ++i) x[i] = static_cast<T>((i * 37) % 101 - 60);
  DeviceArray<T> device(n), out(4);
  Stream& stream = test_stream();
  copy_to_device(stream, device.get(), x.data(), n * sizeof(T));
  const T sum = std::accumulate(x.begin(), x.end(), T(0)), most = *std::max_element(x.begin(), x.end());
  for (const int block : {32, 128, 1024}) {
    launch<reductions<T>>("reductions", 1, block_threads(block), 0, stream, static_cast<const T*>(device.get()),
                          out.get(), n);
    EXPECT_EQ(out.read(), (std::vector<T>{sum, most, sum, most})) << block;
  }
}

TEST(Dialect, SumsAndMaximaOfEachType) {
  check_reductions<float>();
  check_reductions<double>();
  check_reductions<int>();
}

KERNEL void negative_maximum(float* out) {
  const float most = block_max(-5.0f - static_cast<float>(threadIdx.x));
  if (threadIdx.x == 0) out[0] = most;
}

TEST(Dialect, MaximumOfNegativesIsNegative) {
  DeviceArray<float> out(1);
  Stream& stream = test_stream();
  launch<negative_maximum>("negative_maximum", 1, kBlock, 0, stream, out.get());
  EXPECT_EQ(out.read()[0], -5.0f);
}

KERNEL void reverse_in_shared(const int* x, int* y) {
  SHARED(int, tile, kBlock);
  float* scratch = dyn_shared<float>();
  tile[threadIdx.x] = x[blockIdx.x * kBlock + threadIdx.x];
  scratch[threadIdx.x] = 0.5f;
  block_sync();
  const unsigned other = kBlock - 1 - threadIdx.x;
  y[blockIdx.x * kBlock + threadIdx.x] = tile[other] + static_cast<int>(2.0f * scratch[other]);
}

TEST(Dialect, SharedMemory) {
  constexpr int kBlocks = 7;
  DeviceArray<int> x(kBlocks * kBlock), y(kBlocks * kBlock);
  std::vector<int> host(kBlocks * kBlock);
  std::iota(host.begin(), host.end(), 0);
  Stream& stream = test_stream();
  copy_to_device(stream, x.get(), host.data(), host.size() * sizeof(int));
  launch<reverse_in_shared>("reverse", kBlocks, kBlock, kBlock * sizeof(float), stream,
                            static_cast<const int*>(x.get()), y.get());
  const std::vector<int> got = y.read();
  for (int b = 0; b < kBlocks; ++b)
    for (int i = 0; i < kBlock; ++i) ASSERT_EQ(got[b * kBlock + i], b * kBlock + kBlock - 1 - i + 1);
}

KERNEL void fold_by_last(int* partial, int* total, int* lasts, unsigned* ticket) {
  if (threadIdx.x == 0) partial[blockIdx.x] = static_cast<int>(blockIdx.x) + 1;
  if (last_block(ticket, gridDim.x)) {
    int sum = 0;
    BLOCK_LOOP(i, gridDim.x) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
      *total = sum;
      *lasts += 1;
    }
  }
}

TEST(Dialect, LastBlockSeesAllOthers) {
  constexpr int kBlocks = 50;
  DeviceArray<int> partial(kBlocks), total(1), lasts(1);
  DeviceArray<unsigned> ticket(1);
  Stream& stream = test_stream();
  for (int round = 1; round <= 3; ++round) {
    fill_bytes(stream, partial.get(), 0, kBlocks * sizeof(int));
    launch<fold_by_last>("fold", kBlocks, kBlock, 0, stream, partial.get(), total.get(), lasts.get(), ticket.get());
    EXPECT_EQ(total.read()[0], kBlocks * (kBlocks + 1) / 2);
    EXPECT_EQ(lasts.read()[0], round);
    EXPECT_EQ(ticket.read()[0], 0u);
  }
}

template <class T>
DEVICE void count_items(int64_t, T* counter, int* smallest) {
  if (atomic_add(counter, T(3)) == T(0)) atomic_add(smallest, 1);
}

TEST(Dialect, IntegerAtomics) {
  Stream& stream = test_stream();
  constexpr int n = 5000;
  DeviceArray<int> a(1), first(3);
  DeviceArray<unsigned> b(1);
  DeviceArray<uint64_t> c(1, uint64_t{0});
  for_each<count_items<int>>("int", n, stream, a.get(), first.get());
  for_each<count_items<unsigned>>("unsigned", n, stream, b.get(), first.get() + 1);
  for_each<count_items<uint64_t>>("uint64", n, stream, c.get(), first.get() + 2);
  EXPECT_EQ(a.read()[0], 3 * n);
  EXPECT_EQ(b.read()[0], 3u * n);
  EXPECT_EQ(c.read()[0], uint64_t{3} * n);
  EXPECT_EQ(first.read(), (std::vector<int>{1, 1, 1}));  // one call each saw the old value 0
}

DEVICE void mark(int64_t i, int* seen, int add) {
  seen[i] += add;
}

TEST(Dialect, ForEachCallsEveryItemOnce) {
  Stream& stream = test_stream();
  for (const int64_t n : {0, 1, 63, 64, 65, 2047, 2048, 2049, 100003}) {
    DeviceArray<int> seen(n + 1);
    for_each<mark>("mark", n, stream, seen.get(), 1);
    std::vector<int> expected(n + 1, 1);
    expected[n] = 0;
    EXPECT_EQ(seen.read(), expected) << n;
  }
}

template <class T, int N>
DEVICE void copy_packed(int64_t i, const T* x, T* y) {
  auto v = Packed<T, N>::load(x + i * N);
  v[0] = v[N - 1];
  v.store(y + i * N);
}

template <class T, int N>
void check_packed(T first, T step) {
  std::vector<T> x(N * 10, first);
  for (int i = 0; i < 10; ++i) x[i * N + N - 1] = step;
  DeviceArray<T> from(x.size()), to(x.size());
  Stream& stream = test_stream();
  copy_to_device(stream, from.get(), x.data(), x.size() * sizeof(T));
  for_each<copy_packed<T, N>>("packed", 10, stream, static_cast<const T*>(from.get()), to.get());
  const std::vector<T> y = to.read();
  for (int i = 0; i < 10; ++i)
    for (int j = 0; j < N; ++j)
      EXPECT_EQ(memcmp(&y[i * N + j], j == 0 || j == N - 1 ? &step : &first, sizeof(T)), 0) << i << " " << j;
}

TEST(Dialect, PackedMovesWholeVectors) {
  check_packed<float, 2>(1.0f, 2.0f);
  check_packed<float, 4>(1.0f, 2.0f);
  check_packed<float, 8>(1.0f, 2.0f);
  check_packed<bf16, 4>(bf16{0x1234}, bf16{0x4321});
  check_packed<bf16, 8>(bf16{0x1234}, bf16{0x4321});
}

template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

KERNEL void scale_by(float* x, const float* factor, int n) {
  GRID_LOOP(i, n) x[i] = fmaf(x[i], *factor, 1.0f);
}

TEST(Dialect, CaptureEqualsEager) {
  constexpr int n = 777;
  DeviceArray<float> eager(n, 3.0f), captured(n, 3.0f), factor(1, 0.75f), copy(n);
  Stream& stream = test_stream();
  const auto step = [&](float* x) {
    launch<scale_by>("scale", 4, kBlock, 0, stream, x, static_cast<const float*>(factor.get()), n);
    copy_on_device(stream, copy.get(), x, n * sizeof(float));
  };
  stream.begin_capture();
  EXPECT_TRUE(stream.capturing());
  step(captured.get());
  EXPECT_FALSE(error_of([&] { copy_to_host(stream, nullptr, copy.get(), 4); }).empty());
  const Graph graph = stream.end_capture();
  EXPECT_EQ(graph.nodes(), 2u);
  EXPECT_EQ(captured.read(), std::vector<float>(n, 3.0f)) << "capturing ran something";
  for (int i = 0; i < 3; ++i) {
    step(eager.get());
    stream.replay(graph);
    stream.synchronize();
    EXPECT_EQ(eager.read(), captured.read());
    EXPECT_EQ(copy.read(), captured.read());
    const float next = 0.5f + static_cast<float>(i);  // read through the pointer, not frozen
    copy_to_device(stream, factor.get(), &next, sizeof next);
  }
  EXPECT_NE(error_of([&] { stream.replay(Graph()); }), "");
  EXPECT_NE(error_of([&] { stream.end_capture(); }), "");
}

TEST(Dialect, ALoopRunsItsTurnsInOneReplay) {
  constexpr int n = 300;
  DeviceArray<float> eager(n, 3.0f), looped(n, 3.0f), factor(1, 0.75f);
  Stream& stream = test_stream();
  const auto turn = [&](float* x) {
    launch<scale_by>("scale", 2, kBlock, 0, stream, x, static_cast<const float*>(factor.get()), n);
    launch<scale_by>("again", 2, kBlock, 0, stream, x, static_cast<const float*>(factor.get()), n);
  };
  for (const int turns : {1, 7}) {
    const Graph loop = stream.capture_loop(turns, [&] { turn(looped.get()); });
    EXPECT_EQ(loop.nodes(), 2u);
    for (int replay = 0; replay < 2; ++replay) {  // the count starts anew
      for (int i = 0; i < turns; ++i) turn(eager.get());
      stream.replay(loop);
      EXPECT_EQ(eager.read(), looped.read()) << turns << " turns";
    }
  }
  EXPECT_EQ(error_of([&] { stream.capture_loop(3, [] { fail<Error>("a launcher's check"); }); }), "a launcher's check");
  EXPECT_FALSE(stream.capturing());
  EXPECT_NE(error_of([&] { stream.capture_loop(0, [] {}); }), "");
}

TEST(Dialect, StreamsMeetAtEvents) {
  constexpr int n = 1 << 20;
  DeviceArray<float> x(n), factor(1);
  auto* host = static_cast<float*>(host_allocate(n * sizeof(float), "a test's copy"));
  Stream& work = test_stream();
  Stream copies;
  Event ready, copied;
  for (int round = 0; round < 3; ++round) {
    const float value = static_cast<float>(round) + 2.0f;
    copy_to_device(work, factor.get(), &value, sizeof value);
    for (int i = 0; i < 2; ++i)  // from 0: 1, then value + 1
      launch<scale_by>("scale", 64, kBlock, 0, work, x.get(), static_cast<const float*>(factor.get()), n);
    work.record(ready);
    copies.wait(ready);
    host[0] = host[n - 1] = -1.0f;
    enqueue_copy_to_host(copies, host, x.get(), n * sizeof(float));
    copies.record(copied);
    work.wait(copied);
    fill_bytes(work, x.get(), 0, n * sizeof(float));  // after the copy has read it
    copies.synchronize(copied);
    EXPECT_EQ(host[0], value + 1.0f);
    EXPECT_EQ(host[n - 1], value + 1.0f);
  }
  work.synchronize();
  host_free(host);
}

TEST(Dialect, AStreamJoinsACaptureAndIsWaitedFor) {
  constexpr int n = 500;
  DeviceArray<float> x(n, 3.0f), y(n), factor(1, 2.0f);
  Stream& work = test_stream();
  Stream beside;
  Event ready, done;
  const auto scale = [&](Stream& stream, float* values) {
    launch<scale_by>("scale", 2, kBlock, 0, stream, values, static_cast<const float*>(factor.get()), n);
  };
  const auto launches = [&] {
    scale(work, x.get());
    work.record(ready);
    beside.wait(ready);
    copy_on_device(beside, y.get(), x.get(), n * sizeof(float));
    scale(beside, y.get());
    beside.record(done);
    work.wait(done);
    scale(work, y.get());
  };
  launches();
  EXPECT_FALSE(beside.capturing());
  const Graph graph = work.capture([&] {
    launches();
    EXPECT_TRUE(beside.capturing());
  });
  EXPECT_FALSE(beside.capturing());
  EXPECT_EQ(graph.nodes(), 4u);
  float want = 7.0f;
  for (int replay = 0; replay < 3; ++replay, want = 2 * want + 1) {
    EXPECT_EQ(x.read(), std::vector<float>(n, want));
    EXPECT_EQ(y.read(), std::vector<float>(n, 2 * (2 * want + 1) + 1));
    work.replay(graph);
    work.synchronize();
  }
  const auto forked = [&](Stream& late) {
    work.record(ready);
    late.wait(ready);
    scale(late, x.get());
    late.record(done);
  };
  Stream left, other;
  EXPECT_NE(error_of([&] { work.capture([&] { forked(left); }); }), "") << "nothing waits for the branch";
  EXPECT_FALSE(work.capturing());
  EXPECT_FALSE(left.capturing());
  other.record(done);
  EXPECT_NE(error_of([&] { work.capture([&] { work.wait(done); }); }), "") << "the event is of no work of the capture";
  EXPECT_FALSE(work.capturing());
}

TEST(Dialect, AnErrorEndsTheCapture) {
  Stream& stream = test_stream();
  EXPECT_EQ(error_of([&] { stream.capture([] { fail<Error>("a launcher's check"); }); }), "a launcher's check");
  EXPECT_FALSE(stream.capturing());
  DeviceArray<float> values(4, 1.0f);
  const Graph graph = stream.capture([&] { fill_bytes(stream, values.get(), 0, 4 * sizeof(float)); });
  stream.replay(graph);
  EXPECT_EQ(values.read(), std::vector<float>(4, 0.0f));
}

TEST(Device, MemoryIsAlignedAndCounted) {
  const size_t before = device_bytes_in_use();
  device_reset_peak();
  void* a = device_allocate(1000, "a");
  void* b = device_allocate(0, "nothing");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a) % 256, 0u);
  EXPECT_EQ(device_bytes_in_use(), before + 1000);
  device_free(a);
  device_free(b);
  device_free(nullptr);
  EXPECT_EQ(device_bytes_in_use(), before);
  EXPECT_EQ(device_peak_bytes(), before + 1000);
  device_reset_peak();
  EXPECT_EQ(device_peak_bytes(), before);
}

TEST(Device, PoisonIsNanInSimAlone) {
  const bool sim = std::string(device_name()) == "sim";
  Stream& stream = test_stream();
  auto* fresh = static_cast<float*>(device_allocate(64 * sizeof(float), "fresh"));
  float last = 0.0f;
  copy_to_host(stream, &last, fresh + 63, sizeof last);
  device_free(fresh);
  if (sim) {
    EXPECT_TRUE(std::isnan(last));
  }
  DeviceArray<float> x(64, 1.0f);
  poison(stream, x.get(), 32 * sizeof(float));
  const std::vector<float> got = x.read();
  EXPECT_EQ(std::isnan(got[31]), sim);
  EXPECT_EQ(got[32], 1.0f);
  fill_bytes(stream, x.get(), 0, 4);
  EXPECT_EQ(x.read()[0], 0.0f);
}

#if defined(GTEST_HAS_DEATH_TEST) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(DeviceDeathTest, SimClosesDeviceMemoryToTheHost) {
  if (std::string(device_name()) != "sim") GTEST_SKIP() << "only sim guards its memory";
  auto* memory = static_cast<volatile float*>(device_allocate(64, "closed"));
  EXPECT_DEATH(memory[3] = 1.0f, "host code follows a pointer into device memory");
  EXPECT_DEATH((void)static_cast<float>(memory[0]), "host code follows a pointer into device memory");
  device_free(const_cast<float*>(memory));
}
#endif

TEST(Device, TimelineIsJsonWithOneRangeALaunch) {
  const std::string path = testing::TempDir() + "ito_timeline.json";
  DeviceArray<float> x(10, 1.0f), factor(1, 0.5f);
  Stream& stream = test_stream();
  timeline_start();
  {
    const Range layer("layer \"1\"");
    for (int i = 0; i < 2; ++i)
      launch<scale_by>("scale", 1, kBlock, 0, stream, x.get(), static_cast<const float*>(factor.get()), 10);
  }
  timeline_write(path);
  launch<scale_by>("after", 1, kBlock, 0, stream, x.get(), static_cast<const float*>(factor.get()), 10);
  std::ifstream file(path);
  const nlohmann::json json = nlohmann::json::parse(file);
  std::map<std::string, int> names;
  for (const auto& event : json.at("traceEvents")) ++names[event.at("name").get<std::string>()];
  EXPECT_EQ(names, (std::map<std::string, int>{{"layer \"1\"", 1}, {"scale", 2}}));
  std::remove(path.c_str());
  EXPECT_THROW(timeline_write(path + "/below/a/file"), UserError);
}

}  // namespace
}  // namespace ito
