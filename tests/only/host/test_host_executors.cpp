// SPDX-License-Identifier: Apache-2.0
// What only executors on the host do: errors thrown inside kernels come out of the launch, and the number of threads
// changes no bit.
#include "dialect.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/seams/device.h"

namespace ito {
namespace {

KERNEL void refuse(int bad) {
  ITO_CHECK(static_cast<int>(blockIdx.x) != bad, "block ", bad, " refuses");
}
DEVICE void refuse_item(int64_t i, int64_t bad) {
  ITO_CHECK(i != bad, "item ", bad, " refuses");
}

KERNEL void count_blocks(int* seen) {
  if (threadIdx.x == 0) seen[blockIdx.x] += 1;
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

TEST(HostExecutor, ErrorsAreCarriedOutAndNamed) {
  Stream stream;
  const std::string of_block = error_of([&] { launch<refuse>("the launch", 9, block_threads(32), 0, stream, 8); });
  EXPECT_EQ(of_block.find("the launch: block 8 refuses"), 0u) << of_block;
  const std::string of_item = error_of([&] { for_each<refuse_item>("the items", 9999, stream, int64_t{9998}); });
  EXPECT_EQ(of_item.find("the items: item 9998 refuses"), 0u) << of_item;
  // The workers are sound afterwards.
  std::vector<int> seen(30);
  launch<count_blocks>("count_blocks", 30, block_threads(32), 0, stream, seen.data());
  EXPECT_EQ(seen, std::vector<int>(30, 1));
}

KERNEL void scale_by(float* x, const float* factor, int n) {
  GRID_LOOP(i, n) x[i] = fmaf(x[i], *factor, 1.0f);
}

TEST(HostExecutor, SameBitsForEveryThreadCount) {
  std::vector<std::vector<float>> results;
  const float factor = 0.3f;
  for (const int threads : {1, 2, 3}) {
    set_device_threads(threads);
    EXPECT_EQ(device_threads(), threads);
    std::vector<float> x(10000, 1.0f / 3.0f);
    Stream stream;
    for (int i = 0; i < 4; ++i) launch<scale_by>("scale", 13, block_threads(128), 0, stream, x.data(), &factor, 10000);
    results.push_back(x);
  }
  set_device_threads(0);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

}  // namespace
}  // namespace ito
