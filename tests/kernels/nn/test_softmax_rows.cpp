// SPDX-License-Identifier: Apache-2.0
// The row softmax and its backward against fp64 loops on the stored scores. With u = 2^-24 and R the largest distance
// of a score from what is subtracted from it: that difference is rounded once, which is a relative error R u of its
// exponential, and fast_exp() adds 4 u at most; a sum over n columns adds at most n u of its terms' sizes, a product or
// quotient u each. A result is then rounded once to its storage type.
#include "kernels/nn/softmax_rows.h"

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

struct Case {
  int rows, columns;
  double size = 3.0;  // of the scores
};

std::vector<Case> softmax_cases() {
  return {{1, 1}, {3, 2}, {9, 4}, {5, 5}, {8, 49}, {17, 127}, {4, 128}, {3, 130}, {6, 256}, {2, 300}, {4, 70, 60.0}};
}

SoftmaxRows shape_of(const Case& c) {
  return {c.rows, c.columns, ceil_div(c.columns, 16) * 16};
}

// Rows with NaN in the padding, which nothing may read.
struct Matrix {
  SoftmaxRows shape;
  Values values;  // (rows, columns)
  Matrix(const SoftmaxRows& s, uint64_t seed, double size)
      : shape(s), values(stored<float>(random_values(size_t(s.rows) * s.columns, seed, size))) {}
  double at(int64_t row, int column) const { return values[row * shape.columns + column]; }
  Values padded() const {
    Values all(shape.rows * shape.pitch, NAN);
    for (int64_t row = 0; row < shape.rows; ++row)
      for (int j = 0; j < shape.columns; ++j) all[row * shape.pitch + j] = at(row, j);
    return all;
  }
};

Values without_padding(const Values& all, const SoftmaxRows& s) {
  Values values;
  for (int64_t row = 0; row < s.rows; ++row)
    values.insert(values.end(), all.begin() + row * s.pitch, all.begin() + row * s.pitch + s.columns);
  return values;
}

struct Reference {
  Values p, lse, ds, ds_size;
  double farthest = 0;  // R
};

// dp null: the forward alone.
Reference reference(const Matrix& scores, const Matrix* dp, double scale) {
  Reference r;
  const SoftmaxRows& s = scores.shape;
  for (int64_t row = 0; row < s.rows; ++row) {
    double top = -INFINITY, sum = 0, delta = 0, delta_size = 0;
    for (int j = 0; j < s.columns; ++j) top = std::max(top, scores.at(row, j));
    for (int j = 0; j < s.columns; ++j) sum += std::exp(scores.at(row, j) - top);
    r.lse.push_back(top + std::log(sum));
    for (int j = 0; j < s.columns; ++j) {
      r.farthest = std::max(r.farthest, r.lse.back() - scores.at(row, j));
      r.p.push_back(std::exp(scores.at(row, j) - r.lse.back()));
      if (!dp) continue;
      delta += r.p.back() * dp->at(row, j);
      delta_size += r.p.back() * std::fabs(dp->at(row, j));
    }
    for (int j = 0; dp && j < s.columns; ++j) {
      const double p = r.p[row * s.columns + j];
      r.ds.push_back(scale * p * (dp->at(row, j) - delta));
      r.ds_size.push_back(scale * p * (std::fabs(dp->at(row, j)) + delta_size));
    }
  }
  return r;
}

template <class T>
class SoftmaxRowsOf : public ::testing::Test {};
TYPED_TEST_SUITE(SoftmaxRowsOf, StorageTypes);

TYPED_TEST(SoftmaxRowsOf, ForwardMatchesLoops) {
  using T = TypeParam;
  for_each_case(softmax_cases(), [](Stream& stream, const Case& c) {
    const SoftmaxRows s = shape_of(c);
    const Matrix scores(s, 1, c.size);
    const DeviceArray<float> from(stream, scores.padded());
    DeviceArray<T> p(stream, from.size());
    DeviceArray<float> lse(stream, s.rows);
    softmax_rows_forward(stream, p.data(), lse, from, s);
    const Reference want = reference(scores, nullptr, 1.0);
    const double unit = (want.farthest + s.columns + 16) * kRoundFloat;
    expect_close("p", without_padding(p.values(), s), want.p, kRound<T> + unit, 1e-37);
    expect_close("lse", lse.values(), want.lse, 2 * kRoundFloat, (s.columns + 16) * kRoundFloat);
  });
}

TYPED_TEST(SoftmaxRowsOf, BackwardMatchesLoops) {
  using T = TypeParam;
  for_each_case(softmax_cases(), [](Stream& stream, const Case& c) {
    const float scale = 0.35f;
    const SoftmaxRows s = shape_of(c);
    const Matrix scores(s, 1, c.size), gradient(s, 2, 1.0);
    const Reference want = reference(scores, &gradient, scale);
    const DeviceArray<float> from(stream, scores.padded()), dp(stream, gradient.padded()), lse(stream, want.lse);
    DeviceArray<T> p(stream, from.size()), ds(stream, from.size());
    softmax_rows_backward(stream, p.data(), ds.data(), from, dp, lse, s, scale);
    // lse was rounded to fp32, which is an error of a score too.
    const double size = *std::max_element(want.lse.begin(), want.lse.end(),
                                          [](double a, double b) { return std::fabs(a) < std::fabs(b); });
    const double unit = (want.farthest + std::fabs(size) + 8) * kRoundFloat;
    expect_close("p", without_padding(p.values(), s), want.p, kRound<T> + unit, 1e-37);
    expect_close("ds", without_padding(ds.values(), s), want.ds, kRound<T>, 2 * unit + (s.columns + 8) * kRoundFloat,
                 want.ds_size);
  });
}

TEST(SoftmaxRows, InPlaceInFp32) {
  for_each_case(softmax_cases(), [](Stream& stream, const Case& c) {
    const SoftmaxRows s = shape_of(c);
    const Values scores = Matrix(s, 1, c.size).padded(), gradient = Matrix(s, 2, 1.0).padded();
    DeviceArray<float> a(stream, scores), b(stream, scores), da(stream, gradient), db(stream, gradient);
    DeviceArray<float> p(stream, scores), ds(stream, scores), lse(stream, s.rows), lse_in_place(stream, s.rows);
    softmax_rows_forward(stream, p.data(), lse, a, s);
    softmax_rows_forward(stream, a.data(), lse_in_place, a, s);
    EXPECT_EQ(lse.bits(), lse_in_place.bits());
    EXPECT_EQ(without_padding(p.values(), s), without_padding(a.values(), s));
    softmax_rows_backward(stream, p.data(), ds.data(), b, da, lse, s, 0.5f);
    softmax_rows_backward(stream, b.data(), db.data(), b, db, lse, s, 0.5f);
    EXPECT_EQ(without_padding(p.values(), s), without_padding(b.values(), s));
    EXPECT_EQ(without_padding(ds.values(), s), without_padding(db.values(), s));
  });
}

TEST(SoftmaxRows, ARowDoesNotKnowTheOthers) {
  Stream stream;
  const SoftmaxRows all = shape_of({21, 67});
  SoftmaxRows one = all;
  one.rows = 1;
  const DeviceArray<float> scores(stream, Matrix(all, 1, 3.0).padded()), dp(stream, Matrix(all, 2, 1.0).padded());
  DeviceArray<float> p(stream, scores.size()), ds(stream, scores.size()), lse(stream, all.rows);
  softmax_rows_forward(stream, p.data(), lse, scores, all);
  softmax_rows_backward(stream, p.data(), ds.data(), scores, dp, lse, all, 0.5f);
  for (const int row : {0, 6, 20}) {
    const int64_t at = row * all.pitch;
    DeviceArray<float> p1(stream, all.pitch), ds1(stream, all.pitch), lse1(stream, 1);
    softmax_rows_forward(stream, p1.data(), lse1, scores + at, one);
    EXPECT_EQ(lse1.bits(), lse.bits().substr(row * sizeof(float), sizeof(float)));
    softmax_rows_backward(stream, p1.data(), ds1.data(), scores + at, dp + at, lse1, one, 0.5f);
    const size_t bytes = all.columns * sizeof(float);
    EXPECT_EQ(p1.bits().substr(0, bytes), p.bits().substr(at * sizeof(float), bytes));
    EXPECT_EQ(ds1.bits().substr(0, bytes), ds.bits().substr(at * sizeof(float), bytes));
  }
}

TEST(SoftmaxRows, RefusesRowsThatAreNotAligned) {
  Stream stream;
  DeviceArray<float> x(stream, 256), lse(stream, 4);
  EXPECT_THROW(softmax_rows_forward(stream, x.data(), lse, x, {2, 17, 17}), Error);
  EXPECT_THROW(softmax_rows_forward(stream, x.data(), lse, x, {2, 17, 16}), Error);
  EXPECT_THROW(softmax_rows_forward(stream, x.data() + 1, lse, x, {2, 17, 32}), Error);
  EXPECT_THROW(softmax_rows_backward(stream, x.data(), x.data() + 1, x, x, lse, {2, 17, 32}, 1.0f), Error);
}

}  // namespace
}  // namespace ito::test
