// SPDX-License-Identifier: Apache-2.0
// A measurement by a matrix: what all operators promise, the order of its columns, and files that are none.
#include "engine/io/safetensors.h"
#include "tests/engine/inverse/operator_checks.h"
#include "tests/engine/io/temp_folder.h"
#include "tests/engine/user_error.h"

namespace ito::test {
namespace {

const ImageShape kImage{2, 3, 2};

class MatrixFile : public ::testing::Test {
 protected:
  std::string operator_of(int64_t rows, int64_t columns, const std::vector<float>& values,
                          const std::string& name = "matrix") {
    SafetensorsWriter writer;
    writer.add(name, {rows, columns}, values);
    const std::string path = folder_ / "matrix.safetensors";
    writer.write(path);
    return "matrix:" + path;
  }
  std::string random(int64_t rows) {
    const Values numbers = stored<float>(random_values(static_cast<size_t>(rows * kImage.size()), 7));
    return operator_of(rows, kImage.size(), {numbers.begin(), numbers.end()});
  }
  TempFolder folder_;
};

// A number is a sum of up to 15 products, rounded as often, of entries that are rounded once; the sum of their sizes is
// at most the norm of the row, all rows together at most sqrt(12) < 4 times the largest singular value.
constexpr double kUnit = 16 * 4 * kRoundFloat;

TEST_F(MatrixFile, KeepsWhatLinearOnesPromise) {
  for (const int64_t rows : {1, 5, 12, 15}) check_linear_operator(random(rows), kImage, kUnit);
  // A row twice, and one that is nothing.
  std::vector<float> values(3 * 12, 0.0f);
  for (size_t j = 0; j < 12; ++j) values[j] = values[12 + j] = 0.25f * static_cast<float>(j) - 1;
  check_linear_operator(operator_of(3, 12, values), kImage, kUnit);
}

TEST_F(MatrixFile, AnImageHasTheBitsOfABatchOfOne) {
  check_batch(random(5), kImage);
}

TEST_F(MatrixFile, ColumnsStandForNumbersInPlanes) {
  std::vector<float> values(2 * 12, 0.0f);
  values[1 * 6 + 0 * 3 + 2] = 2;       // channel 1, row 0, column 2
  values[12 + 0 * 6 + 1 * 3 + 1] = 1;  // channel 0, row 1, column 1
  OperatorOnDevice device(operator_of(2, 12, values), kImage, 1);
  Values x;
  for (int i = 0; i < 12; ++i) x.push_back(i);
  EXPECT_EQ(device.apply(x), (Values{2 * (2 * 2 + 1), 1 * (4 * 2)}));  // of (H, W, C)
}

TEST_F(MatrixFile, RefusesWhatIsNone) {
  const auto refusal = [](const std::string& text) { return user_error([&] { measurement_operator(text, kImage); }); };
  EXPECT_NE(refusal("matrix").find("expected matrix:FILE"), std::string::npos);
  EXPECT_NE(refusal(operator_of(1, 12, std::vector<float>(12, 1), "a")).find("no tensor \"matrix\""),
            std::string::npos);
  EXPECT_NE(refusal(operator_of(1, 6, std::vector<float>(6, 1))).find("[1, 6]; expected [measurements, 12]"),
            std::string::npos);
  EXPECT_NE(refusal(operator_of(1, 12, std::vector<float>(12, 0))).find("all zeros"), std::string::npos);
  EXPECT_NE(refusal(operator_of(1, 12, std::vector<float>(12, NAN))).find("finite"), std::string::npos);
  EXPECT_NE(refusal(operator_of(1025, 12, std::vector<float>(1025 * 12, 1))).find("at most 1024"), std::string::npos);
}

}  // namespace
}  // namespace ito::test
