// SPDX-License-Identifier: Apache-2.0
// What every measurement operator promises, checked on a device with operators that are small enough to be written out
// as matrices.
#pragma once
#include <algorithm>

#include "engine/inverse/dense.h"
#include "engine/inverse/measurement_operator.h"
#include "tests/kernels/op_test.h"

namespace ito::test {

// An operator with its tables, for batches of `batch`, whose functions are asked with numbers of the host.
class OperatorOnDevice {
 public:
  OperatorOnDevice(const std::string& text, const ImageShape& image, int batch)
      : op_(measurement_operator(text, image)) {
    BufferList buffers;
    op_->plan(batch, buffers);
    if (op_->spectrum()) op_->spectrum()->plan(batch, buffers);
    buffers.allocate();
    op_->prepare(stream_);
    if (op_->spectrum()) op_->spectrum()->prepare(stream_);
  }
  MeasurementOperator& op() const { return *op_; }
  Values apply(const Values& x) {
    return ask(x, size(), count(), [&](float* to, const float* from, int n) { op_->apply(stream_, to, from, n); });
  }
  Values adjoint(const Values& r, const Values& at = {}) {
    DeviceArray<float> where(stream_, at.empty() ? Values{0} : at);
    return ask(r, count(), size(), [&](float* to, const float* from, int n) {
      op_->adjoint(stream_, to, from, at.empty() ? nullptr : where.data(), n);
    });
  }
  Values pseudo_inverse(const Values& y) {
    return ask(y, count(), size(),
               [&](float* to, const float* from, int n) { op_->pseudo_inverse(stream_, to, from, n); });
  }
  Values to_basis(const Values& x) {
    return ask(x, size(), size(),
               [&](float* to, const float* from, int n) { op_->spectrum()->to_basis(stream_, to, from, n); });
  }
  Values from_basis(const Values& v) {
    return ask(v, size(), size(),
               [&](float* to, const float* from, int n) { op_->spectrum()->from_basis(stream_, to, from, n); });
  }
  size_t size() const { return static_cast<size_t>(op_->image().size()); }
  size_t count() const { return static_cast<size_t>(op_->measurements()); }

 private:
  template <class Launch>
  Values ask(const Values& from, size_t from_size, size_t to_size, const Launch& launch) {
    const size_t n = from.size() / from_size;
    DeviceArray<float> given(stream_, from), made(stream_, n * to_size);
    launch(made.data(), given.data(), static_cast<int>(n));
    return made.values();
  }
  Stream stream_;
  std::unique_ptr<MeasurementOperator> op_;
};

inline double norm(const Values& x) {
  return std::sqrt(dot(x, x));
}

inline Values minus(Values a, const Values& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

// unit: the most that apply, adjoint and the basis add of error, in the 2-norm, to an x of norm 1, times |H| = the
// largest singular value; the pseudo-inverse adds that over the smallest one that is not 0.
inline void check_linear_operator(const std::string& text, const ImageShape& image, double unit) {
  SCOPED_TRACE(join_text(text, " of ", image.height, " x ", image.width, " x ", image.channels));
  const int size = static_cast<int>(image.size());
  OperatorOnDevice device(text, image, size);
  ASSERT_TRUE(device.op().linear());
  const Values x = stored<float>(random_values(device.size(), 1)), y = stored<float>(random_values(device.count(), 2));
  const Values hx = device.apply(x);
  // The matrix: row j of `columns` is H e_j.
  Values units(device.size() * device.size());
  for (size_t j = 0; j < device.size(); ++j) units[j * device.size() + j] = 1;
  const Values columns = device.apply(units);
  DenseMatrix matrix{device.op().measurements(), size, Values(columns.size())};
  for (int64_t row = 0; row < matrix.rows; ++row)
    for (int64_t j = 0; j < size; ++j) matrix.at(row, j) = columns[static_cast<size_t>(j * matrix.rows + row)];
  const DenseSvd svd = svd_of(matrix);
  const double largest = svd.values.front();

  EXPECT_NEAR(dot(hx, y), dot(x, device.adjoint(y)), 2 * unit * largest * norm(x) * norm(y)) << "<Hx, y> = <x, H^T y>";
  const Values back = device.adjoint(hx);
  double smallest = largest;
  for (const double value : svd.values)
    if (value > 1e-4 * largest) smallest = std::min(smallest, value);
  const double condition = largest / smallest;
  if (device.op().has_pseudo_inverse()) {
    const Values inverse = device.pseudo_inverse(hx), again = device.apply(inverse);
    EXPECT_LT(norm(minus(again, hx)), 3 * unit * condition * largest * norm(x)) << "H H+ H = H";
    // What is not measured stays 0: H+ H x is orthogonal to x - H+ H x.
    EXPECT_NEAR(dot(inverse, minus(x, inverse)), 0, 3 * unit * condition * condition * dot(x, x))
        << "H+ H is no projection";
  }
  if (Spectrum* spectrum = device.op().spectrum()) {
    const Values v = device.to_basis(x);
    EXPECT_NEAR(norm(v), norm(x), unit * norm(x)) << "V is orthogonal";
    EXPECT_LT(norm(minus(device.from_basis(v), x)), 2 * unit * norm(x)) << "V V^T = I";
    Values scaled = v, values;
    for (size_t i = 0; i < v.size(); ++i) {
      values.push_back(spectrum->values()[static_cast<size_t>(spectrum->value_of()[i])]);
      scaled[i] *= values[i] * values[i];
    }
    EXPECT_LT(norm(minus(device.from_basis(stored<float>(scaled)), back)), 5 * unit * largest * largest * norm(x))
        << "V S^2 V^T = H^T H";
    std::sort(values.rbegin(), values.rend());
    ASSERT_EQ(values.size(), svd.values.size());
    for (size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], svd.values[i], unit * largest) << "singular value " << i;
    for (size_t i = 0; i < spectrum->values().size(); ++i)
      ASSERT_GE(spectrum->values()[i], i == 0 ? 0 : spectrum->values()[i - 1]);
  }
}

// The bits of an image are the same whatever is in the batch with it, and however large the tables' batch is.
inline void check_batch(const std::string& text, const ImageShape& image) {
  SCOPED_TRACE(text);
  const int n = 3;
  OperatorOnDevice all(text, image, n), one(text, image, 1);
  const Values x = random_values(n * all.size(), 3), y = random_values(n * all.count(), 4);
  const Values at = all.op().linear() ? Values{} : x;
  const auto part = [](const Values& of, size_t size, size_t i) {
    return of.empty()
               ? of
               : Values(of.begin() + static_cast<long>(i * size), of.begin() + static_cast<long>((i + 1) * size));
  };
  const Values applied = all.apply(x), adjoint = all.adjoint(y, at);
  const Values inverse = all.op().has_pseudo_inverse() ? all.pseudo_inverse(y) : Values{};
  const Values basis = all.op().spectrum() ? all.to_basis(x) : Values{};
  const size_t size = all.size(), count = all.count();
  for (size_t i = 0; i < n; ++i) {
    EXPECT_EQ(one.apply(part(x, size, i)), part(applied, count, i));
    EXPECT_EQ(one.adjoint(part(y, count, i), part(at, size, i)), part(adjoint, size, i));
    if (!inverse.empty()) {
      EXPECT_EQ(one.pseudo_inverse(part(y, count, i)), part(inverse, size, i));
    }
    if (!basis.empty()) {
      EXPECT_EQ(one.to_basis(part(x, size, i)), part(basis, size, i));
    }
  }
}

}  // namespace ito::test
