// SPDX-License-Identifier: Apache-2.0
// One list for the sum and the allocations: what is allocated is what the sum said.
#include "engine/program/buffer_list.h"

#include <gtest/gtest.h>

namespace ito {
namespace {

TEST(BufferList, AllocatesWhatItSummedUp) {
  DeviceBuffer<float> weights;
  DeviceBuffer<double> partials;
  DeviceBuffer<int32_t> none;
  BufferList list;
  list.add(weights, 1000, "weights");
  list.add(partials, 7, "partials");
  list.add(none, 0, "labels");
  EXPECT_EQ(list.bytes(), 4000u + 56u);
  EXPECT_EQ(weights.data(), nullptr);
  const size_t before = device_bytes_in_use();
  list.allocate();
  EXPECT_EQ(device_bytes_in_use() - before, list.bytes());
  EXPECT_EQ(weights.count(), 1000u);
  EXPECT_EQ(partials.count(), 7u);
  EXPECT_EQ(none.data(), nullptr);
}

TEST(BufferList, ASumThatDoesNotFitIsTheLargest) {
  DeviceBuffer<double> one, two;
  BufferList list;
  list.add(one, SIZE_MAX / 2, "one");
  EXPECT_EQ(list.bytes(), SIZE_MAX);
  list.add(two, 1, "two");
  EXPECT_EQ(list.bytes(), SIZE_MAX);
}

}  // namespace
}  // namespace ito
