// SPDX-License-Identifier: Apache-2.0
// The classifier's loss and its gradient against fp64 loops on the stored logits. With u = 2^-24 and R the largest
// distance of a logit from the row's largest: that difference is rounded once, a relative error R u of its exponential,
// and fast_exp() adds 4 u at most; the sum over K classes adds K u, the logarithm 4 u of itself, a product or quotient
// u.
#include "kernels/nn/softmax_cross_entropy.h"

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

constexpr double u = kRoundFloat;

struct Case {
  int n, classes;
  double size = 3.0;  // of the logits
};

std::vector<Case> cases() {
  return {{1, 1}, {2, 2}, {7, 3}, {64, 10}, {9, 31}, {8, 32}, {17, 33}, {5, 100}, {3, 1000}, {12, 10, 40.0}};
}

Values labels_of(const Case& c) {
  Values labels(c.n);
  for (int i = 0; i < c.n; ++i) labels[i] = (i * 7 + c.classes - 1) % c.classes;
  return labels;
}

struct Reference {
  Values loss, gradient;
  double farthest = 0;  // R
};

Reference reference(const Values& logits, const Values& labels, int classes, int batch) {
  Reference r;
  for (size_t i = 0; i < labels.size(); ++i) {
    const double* z = logits.data() + i * classes;
    double sum = 0;
    const double top = *std::max_element(z, z + classes);
    for (int k = 0; k < classes; ++k) {
      sum += std::exp(z[k] - top);
      r.farthest = std::max(r.farthest, top - z[k]);
    }
    r.loss.push_back(top + std::log(sum) - z[static_cast<int>(labels[i])]);
    for (int k = 0; k < classes; ++k)
      r.gradient.push_back((std::exp(z[k] - top) / sum - (k == static_cast<int>(labels[i]))) / batch);
  }
  return r;
}

TEST(SoftmaxCrossEntropy, MatchesLoops) {
  for_each_case(cases(), [](Stream& stream, const Case& c) {
    const int batch = c.n + 5;
    const Values values = stored<float>(random_values(size_t(c.n) * c.classes, 1, c.size)), labels = labels_of(c);
    const DeviceArray<float> logits(stream, values);
    const DeviceArray<int32_t> classes(stream, labels);
    DeviceArray<float> loss(stream, c.n), gradient(stream, values.size()), alone(stream, c.n);
    softmax_cross_entropy(stream, loss, gradient, logits, classes, c.n, c.classes, batch);
    const Reference want = reference(values, labels, c.classes, batch);
    const double unit = (want.farthest + c.classes + 16) * u;
    expect_close("loss", loss.values(), want.loss, 8 * u, unit);
    expect_close("gradient", gradient.values(), want.gradient, 4 * u, unit / batch);
    softmax_cross_entropy(stream, alone, nullptr, logits, classes, c.n, c.classes, batch);
    EXPECT_EQ(alone.bits(), loss.bits());  // a loss without a gradient
  });
}

TEST(SoftmaxCrossEntropy, GradientIsTheLosssDerivative) {
  const Case c{6, 5};
  const Values labels = labels_of(c), logits = random_values(size_t(c.n) * c.classes, 3, 1.5);
  expect_gradient(
      "mean loss",
      [&](const Values& z) {
        double mean = 0;
        for (const double loss : reference(z, labels, c.classes, c.n).loss) mean += loss / c.n;
        return mean;
      },
      logits, reference(logits, labels, c.classes, c.n).gradient);
}

TEST(SoftmaxCrossEntropy, ARowDoesNotKnowTheOthers) {
  Stream stream;
  const Case c{19, 10};
  const DeviceArray<float> logits(stream, random_values(size_t(c.n) * c.classes, 4));
  const DeviceArray<int32_t> labels(stream, labels_of(c));
  DeviceArray<float> loss(stream, c.n), gradient(stream, logits.size());
  softmax_cross_entropy(stream, loss, gradient, logits, labels, c.n, c.classes, c.n);
  for (const int row : {0, 7, 18}) {
    const int at = row * c.classes;
    DeviceArray<float> one(stream, 1), gradient_of_one(stream, c.classes);
    softmax_cross_entropy(stream, one, gradient_of_one, logits + at, labels + row, 1, c.classes, c.n);
    EXPECT_EQ(one.bits(), loss.bits().substr(row * sizeof(float), sizeof(float)));
    EXPECT_EQ(gradient_of_one.bits(), gradient.bits().substr(at * sizeof(float), c.classes * sizeof(float)));
  }
}

// A class that is certain costs nothing, exactly, and one that is excluded no more than its distance.
TEST(SoftmaxCrossEntropy, OfExtremeLogits) {
  Stream stream;
  const DeviceArray<float> logits(stream, Values{500, -500, 500, -500});
  const DeviceArray<int32_t> labels(stream, Values{0, 1});
  DeviceArray<float> loss(stream, 2), gradient(stream, 4);
  softmax_cross_entropy(stream, loss, gradient, logits, labels, 2, 2, 2);
  EXPECT_EQ(loss.values(), (Values{0, 1000}));
  EXPECT_EQ(gradient.values(), (Values{0, 0, 0.5, -0.5}));
}

TEST(SoftmaxCrossEntropy, RefusesWhatMakesNoSense) {
  Stream stream;
  DeviceArray<float> x(stream, 4);
  DeviceArray<int32_t> labels(stream, Values{0, 1});
  EXPECT_THROW(softmax_cross_entropy(stream, x, nullptr, x, labels, 2, 0, 2), Error);
  EXPECT_THROW(softmax_cross_entropy(stream, x, nullptr, x, labels, 2, 2, 1), Error);
  EXPECT_THROW(softmax_cross_entropy(stream, x, nullptr, x, nullptr, 2, 2, 2), Error);
}

}  // namespace
}  // namespace ito::test
