// SPDX-License-Identifier: Apache-2.0
// A row of several tables to every image: copies, so equal and nothing beside them touched.
#include "kernels/diffusion/time_lines.h"

#include <memory>

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

TEST(TimeLines, TakesTheRowOfEveryTable) {
  Stream stream;
  const int rows = 3, n = 5;
  const std::vector<double> of_calls = {2, 0, 1, 0};
  DeviceArray<int32_t> row_of(stream, of_calls);
  const std::vector<int> widths = {1, 7, 128, 300};  // fewer than a block's threads, as many, more
  // One call for all images, the first and the last; and one an image.
  for (const std::vector<double>& calls : std::vector<std::vector<double>>{{0}, {3}, {3, 0, 1, 2, 0}}) {
    std::vector<std::unique_ptr<DeviceArray<float>>> tables, lines;
    std::vector<TimeLine> records;
    for (const int width : widths) {
      tables.push_back(std::make_unique<DeviceArray<float>>(stream, random_values(rows * width, width)));
      lines.push_back(std::make_unique<DeviceArray<float>>(stream, Values(n * width + 1, -9.0)));
      records.push_back({lines.back()->data(), tables.back()->data(), width});
    }
    DeviceArray<TimeLine> table(stream, records.size());
    table.upload_raw(records);
    DeviceArray<int64_t> call(stream, calls);
    const bool of_images = calls.size() > 1;
    take_time_lines(stream, table, static_cast<int>(records.size()), {row_of.data(), call.data(), of_images}, n);
    for (size_t k = 0; k < widths.size(); ++k) {
      const std::vector<float> from = tables[k]->raw();
      std::vector<float> want;
      for (int image = 0; image < n; ++image) {
        const auto at = static_cast<int>(of_calls[static_cast<size_t>(calls[of_images ? image : 0])]);
        want.insert(want.end(), from.begin() + at * widths[k], from.begin() + (at + 1) * widths[k]);
      }
      want.push_back(-9.0f);
      EXPECT_EQ(lines[k]->raw(), want) << widths[k] << ", call " << calls[0];
    }
  }
}

}  // namespace
}  // namespace ito::test
