// SPDX-License-Identifier: Apache-2.0
// Buckets of the gradients: every float is in one, none is touched after it was called complete, and none is called so
// later than its last tensor is.
#include "engine/ranks/buckets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "engine/program/device_buffer.h"
#include "kernels/optim/gradient_norm.h"
#include "tests/models/unet/tiny_unet.h"

namespace ito::test {
namespace {

constexpr int64_t kSpanBytes = 4 * kNormSpan;

// A training program of the tiny network, whose backward is looked at op by op.
class Backward {
 public:
  Backward() : program_({.n = 2, .mode = Mode::Training}), inputs_(plan_network(program_, tiny_network())) {
    const std::vector<float> host = busy_weights(program_.layout(), 5);
    weights_ = {host.size(), "weights"};
    weights_.upload(stream_, host.data());
    gradients_ = {static_cast<size_t>(program_.layout().trainable_floats()), "gradients"};
    fill_bytes(stream_, gradients_.data(), 0xFF, gradients_.bytes());  // what is not set stays in sight
    program_.bind(weights_.data(), gradients_.data());
    program_.pack(stream_);
    put(program_.data(inputs_.sample), program_.info(inputs_.sample).count());
    put(program_.data(inputs_.timestep), program_.info(inputs_.timestep).count());
    program_.forward(stream_);
    put(program_.gradient(program_.output()), program_.info(program_.output()).count());
  }
  const Program& program() const { return program_; }
  // The arena after every op, by the op's number.
  std::vector<std::vector<uint32_t>> run() {
    std::vector<std::vector<uint32_t>> after(program_.ops().size());
    program_.backward(stream_, [&](int op) {
      after[op].resize(gradients_.count());
      copy_to_host(stream_, after[op].data(), gradients_.data(), gradients_.bytes());
    });
    return after;
  }

 private:
  void put(DataRef to, int64_t count) {
    const std::vector<float> values = draws(static_cast<size_t>(count), 7);
    copy_to_device(stream_, to.as<float>(), values.data(), values.size() * sizeof(float));
    stream_.synchronize();
  }
  Stream stream_;
  Program program_;
  NetworkInputs inputs_;
  DeviceBuffer<float> weights_, gradients_;
};

TEST(Buckets, AreCompleteWhenTheySaySoAndNoLater) {
  Backward backward;
  const auto after = backward.run();
  const int64_t floats = backward.program().layout().trainable_floats();
  for (const int64_t spans : {1, 3, 5, 1000}) {
    const std::vector<Bucket> buckets = plan_buckets(backward.program(), spans * kSpanBytes + 5);
    std::vector<int> covered(floats, 0);
    int before = static_cast<int>(after.size());
    for (const Bucket& bucket : buckets) {
      const auto [first, count] = bucket.floats;
      ASSERT_TRUE(count > 0 && first % kNormSpan == 0 && (count % kNormSpan == 0 || bucket.floats.end() == floats));
      EXPECT_LE(count, spans * kNormSpan);
      EXPECT_LE(bucket.last_op, before) << "out of order";
      before = bucket.last_op;
      for (int64_t i = first; i < bucket.floats.end(); ++i) ++covered[i];
      const auto same = [&, first = first, count = count](int op) {
        return std::equal(after[0].begin() + first, after[0].begin() + first + count, after[op].begin() + first);
      };
      EXPECT_TRUE(same(bucket.last_op)) << "floats from " << first << " on are touched after op " << bucket.last_op;
      if (bucket.last_op + 1 < static_cast<int>(after.size())) {
        EXPECT_FALSE(same(bucket.last_op + 1)) << "floats from " << first << " on are complete earlier";
      }
    }
    EXPECT_EQ(covered, std::vector<int>(floats, 1));
    EXPECT_EQ(static_cast<int64_t>(buckets.size()) >= ceil_div(floats, spans * kNormSpan), true);
  }
}

TEST(Buckets, OneTensorThatComesLastHoldsUpNoNeighbours) {
  std::vector<int> left(60, 5);
  EXPECT_EQ(cut_spans(left, 10, 20), (std::vector<int64_t>{0, 20, 40, 60}));
  left[30] = 0;
  const std::vector<int64_t> cuts = cut_spans(left, 10, 20);
  EXPECT_TRUE(std::ranges::count(cuts, 30) && std::ranges::count(cuts, 31)) << "the late span shares a bucket";
  EXPECT_EQ(cut_spans({0}, 1, 1), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(cut_spans(std::vector<int>(50, 3), 9, 16).size(), 5u) << "no more buckets than are full";
}

}  // namespace
}  // namespace ito::test
