// SPDX-License-Identifier: Apache-2.0
// The nearest-mean classifier on points whose class is seen by eye.
#include "engine/evaluate/nearest_mean.h"

#include <gtest/gtest.h>

#include "kernels/error.h"

namespace ito {
namespace {

TEST(NearestMean, ClassifiesByTheNearestMean) {
  // Means (0, 1), (10, 0), (0, -10).
  const NearestMeanClassifier classifier({-1, 1, 1, 1, 10, 2, 10, -2, 0, -10}, {0, 0, 1, 1, 2}, 2, 3);
  const auto classify = [&](float x, float y) {
    const float image[] = {x, y};
    return classifier.classify(image);
  };
  EXPECT_EQ(classify(0, 1), 0);
  EXPECT_EQ(classify(4, 0), 0);
  EXPECT_EQ(classify(6, 0), 1);
  EXPECT_EQ(classify(0, -4), 0);
  EXPECT_EQ(classify(0, -5), 2);
  EXPECT_EQ(classify(100, -100), 1);
  EXPECT_THROW(NearestMeanClassifier({0, 0}, {3}, 2, 3), Error);
  EXPECT_THROW(NearestMeanClassifier({0, 0}, {-1}, 2, 3), Error);
}

}  // namespace
}  // namespace ito
