// SPDX-License-Identifier: Apache-2.0
// Features that a user brings: what is read, and that what is none is refused in one line.
#include "engine/evaluate/features.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/io/npz.h"
#include "tests/engine/io/temp_folder.h"

namespace ito::test {
namespace {

struct Array {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<double> values;
};

std::string written(const TempFolder& folder, const std::vector<Array>& arrays) {
  std::vector<NpzArray> npz;
  for (const Array& a : arrays)
    npz.push_back({a.name,
                   TensorType::F64,
                   a.shape,
                   {reinterpret_cast<const uint8_t*>(a.values.data()), a.values.size() * sizeof(double)}});
  write_npz(folder / "f.npz", npz);
  return folder / "f.npz";
}

TEST(Features, ArePixelsAsTheyAre) {
  const FeatureSet set = pixel_features({0.5f, -1, 1, 0.25f, 0, 2}, 3);
  EXPECT_EQ(set.count, 2);
  EXPECT_EQ(set.dim, 3);
  EXPECT_EQ(set.values, (std::vector<double>{0.5, -1, 1, 0.25, 0, 2}));
}

TEST(Features, AreReadFromAnArrayOrAsStatistics) {
  const TempFolder folder;
  const std::string rows = written(folder, {{"arr_0", {2, 3}, {1, 2, 3, 4, 5, 6}}, {"mu", {1}, {0}}});
  EXPECT_TRUE(holds_features(rows));
  const FeatureSet set = read_features(rows);
  EXPECT_EQ(set.count, 2);
  EXPECT_EQ(set.dim, 3);
  EXPECT_EQ(set.values, (std::vector<double>{1, 2, 3, 4, 5, 6}));
  const std::string named = written(folder, {{"features", {1, 2}, {7, 8}}, {"mu", {1}, {0}}});
  EXPECT_TRUE(holds_features(named));
  EXPECT_EQ(read_features(named).values, (std::vector<double>{7, 8}));
  SafetensorsWriter tensors;
  tensors.add("features", {2, 2}, {0.5f, 1, 2, 4});
  tensors.write(folder / "f.safetensors");
  EXPECT_TRUE(holds_features(folder / "f.safetensors"));
  EXPECT_EQ(read_features(folder / "f.safetensors").values, (std::vector<double>{0.5, 1, 2, 4}));
  const std::string numbers = written(folder, {{"mu", {2}, {1, 2}}, {"sigma", {2, 2}, {4, 1, 1.00001, 9}}});
  EXPECT_TRUE(holds_features(numbers));
  const FeatureSet statistics = read_features(numbers);
  EXPECT_TRUE(statistics.is_statistics());
  EXPECT_EQ(statistics.dim, 2);
  EXPECT_EQ(statistics.mean, (std::vector<double>{1, 2}));
  EXPECT_EQ(statistics.covariance[1], statistics.covariance[2]);  // rounded when it was stored
  EXPECT_NEAR(statistics.covariance[1], 1.000005, 1e-12);
  // A published reference batch holds images beside the statistics of their features.
  const std::string batch =
      written(folder, {{"arr_0", {1, 1, 1, 3}, {0, 0, 0}}, {"mu", {1}, {5}}, {"sigma", {1, 1}, {2}}});
  EXPECT_FALSE(holds_features(batch));
  EXPECT_EQ(read_features(batch).mean, std::vector<double>{5});
}

TEST(Features, WhatIsNoneIsRefusedInOneLine) {
  const TempFolder folder;
  const std::string at = folder / "f.npz" + ": ", none = "; expected what numpy.cov(features, rowvar=False) gives";
  struct Row {
    std::vector<Array> arrays;
    std::string expected;
  };
  const Array mean{"mu", {2}, {0, 0}};
  const std::vector<Row> rows{
      {{{"x", {2}, {1, 2}}}, "holds no features; expected arr_0 (N, D), or mu (D) and sigma (D, D)"},
      {{mean}, "holds no features; expected arr_0 (N, D), or mu (D) and sigma (D, D)"},
      {{{"arr_0", {0, 4}, {}}}, "arr_0 has the shape [0, 4]; expected features (N, D), one row an image"},
      {{{"arr_0", {1, 2}, {1, NAN}}}, "arr_0 has a value of nan; expected finite numbers"},
      {{mean, {"sigma", {4}, {1, 0, 0, 1}}}, "mu and sigma have the shapes [2] and [4]; expected (D) and (D, D)"},
      {{mean, {"sigma", {2, 2}, {1, 0, 0, INFINITY}}}, "sigma has a value of inf; expected finite numbers"},
      {{mean, {"sigma", {2, 2}, {1, 0, 0, -1}}},
       "sigma has a variance of -1; expected a covariance, as numpy.cov(features, rowvar=False) is"},
      {{mean, {"sigma", {2, 2}, {1, 0.5, 0, 1}}},
       "sigma is no covariance: its entries (1, 0) and (0, 1) are 0 and 0.5" + none},
      {{mean, {"sigma", {2, 2}, {1, 2, 2, 1}}},
       "sigma is no covariance: its entries (1, 0) and (0, 1) are 2 and 2" + none},
  };
  for (const Row& row : rows)
    EXPECT_EQ(message_of([&] { read_features(written(folder, row.arrays)); }), at + row.expected);
}

}  // namespace
}  // namespace ito::test
