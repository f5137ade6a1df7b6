// SPDX-License-Identifier: Apache-2.0
// Edits of the state and their noise, and gathers, against plain loops.
#include "kernels/inverse/state_edit.h"

#include "kernels/inverse/gather.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/diffusion.h"

namespace ito::test {
namespace {

constexpr int kImages = 3;

TEST(StateEdit, TakesTheRowsSetAndTheCoordinatesValue) {
  Stream stream;
  for (const int64_t size : {1, 7, 16, 4099}) {
    SCOPED_TRACE(size);
    const size_t count = static_cast<size_t>(kImages * size);
    const std::vector<EditCoefficients> sets = {{.d = 1.5f, .x = -0.5f, .y = 0.25f, .z = 2},
                                                {.x = 1},
                                                {.d = -1, .x = 0.5f, .y = 3, .z = -0.125f},
                                                {.y = -2, .z = 1}};
    DeviceArray<EditCoefficients> coefficients(stream, sets.size());
    coefficients.upload_raw(sets);
    DeviceArray<EditRow> rows(stream, 2);
    rows.upload_raw({{.set = 1, .draw = 5}, {.set = 0, .draw = -1}});
    std::vector<int32_t> numbers;
    for (int64_t i = 0; i < size; ++i) numbers.push_back(static_cast<int32_t>(i * 7 % 3 == 1));
    DeviceArray<int32_t> value_of(stream, numbers.size());
    value_of.upload_raw(numbers);
    const EditTable table{.sets = coefficients.data(), .values = 2, .rows = rows.data()};
    Values from[4];
    for (uint64_t k = 0; k < 4; ++k) from[k] = stored<float>(random_values(count, k));
    DeviceArray<float> d(stream, from[0]), x(stream, from[1]), y(stream, from[2]), z(stream, from[3]);
    for (const int64_t row : {0, 1}) {
      DeviceArray<int64_t> at(stream, Values{static_cast<double>(row)});
      const size_t first = row == 0 ? 2 : 0;
      Values want(count), size_of(count);
      for (size_t i = 0; i < count; ++i) {
        const EditCoefficients& k = sets[first + static_cast<size_t>(numbers[i % numbers.size()])];
        const double terms[] = {k.d * from[0][i], k.x * from[1][i], k.y * from[2][i], k.z * from[3][i]};
        for (const double term : terms) want[i] += term, size_of[i] += std::fabs(term);
      }
      DeviceArray<float> out(stream, count);
      edit_state(stream, out, {d, x, y, z}, table, value_of, at, kImages, size);
      expect_close("edit", out.values(), want, 0, 4 * kRoundFloat, size_of);
      // In place, and without the operands that this set has no coefficients for.
      DeviceArray<float> same(stream, from[1]);
      edit_state(stream, same, {d, same, y, z}, table, value_of, at, kImages, size);
      EXPECT_EQ(same.bits(), out.bits());
    }
    DeviceArray<float> first_row(stream, count), at_zero(stream, count);
    DeviceArray<int64_t> zero(stream, Values{0});
    edit_state(stream, first_row, {d, x, y, z}, table, value_of, nullptr, kImages, size);
    edit_state(stream, at_zero, {d, x, y, z}, table, value_of, zero, kImages, size);
    EXPECT_EQ(first_row.bits(), at_zero.bits());
  }
}

TEST(StateEdit, NoiseIsTheRowsDrawOfEachImagesOwnWord) {
  Stream stream;
  constexpr int64_t kSize = 37;
  DeviceArray<EditRow> rows(stream, 2);
  rows.upload_raw({{.set = 0, .draw = 9}, {.set = 0, .draw = -1}});
  const std::vector<uint32_t> word_list = {40, 7, 1u << 20 | 7};
  DeviceArray<uint32_t> words(stream, word_list.size());
  words.upload_raw(word_list);
  DeviceArray<int64_t> at(stream, Values{0}), second(stream, Values{1});
  SampleCounter counter{.seed = 3};
  counter.words = words.data();
  DeviceArray<float> z(stream, kImages * kSize), none(stream, kImages * kSize);
  draw_edit_noise(stream, z, rows, at, counter, kImages, kSize);
  draw_edit_noise(stream, none, rows, second, counter, kImages, kSize);
  EXPECT_EQ(none.values(), Values(kImages * kSize, 0));
  Values want;
  for (const uint32_t word : word_list)
    for (const double value : ref::normals(3, 9, word, purpose_word(Purpose::ReverseNoise), 1, kSize))
      want.push_back(value);
  expect_close("noise", z.values(), want, 0, 1e-6);
}

TEST(Gather, TakesByIndexAndLeavesZeroes) {
  Stream stream;
  const std::vector<int32_t> index_list = {4, -1, 0, 0, 2};
  DeviceArray<int32_t> index(stream, index_list.size());
  index.upload_raw(index_list);
  const Values from = stored<float>(random_values(kImages * 6, 8));
  DeviceArray<float> source(stream, from), to(stream, kImages * index_list.size());
  gather(stream, to, source, index, kImages, 5, 6, 2);
  Values want;
  for (int64_t n = 0; n < kImages; ++n)
    for (const int32_t at : index_list) want.push_back(at < 0 ? 0 : 2 * from[static_cast<size_t>(n * 6 + at)]);
  EXPECT_EQ(to.values(), want);
}

}  // namespace
}  // namespace ito::test
