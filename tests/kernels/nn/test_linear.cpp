// SPDX-License-Identifier: Apache-2.0
// The embedding layer and its gradients against fp64 loops; the loops against finite differences.
#include "kernels/nn/linear.h"

#include "tests/cases/linear.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/linear.h"
#include "tests/ref/sum_tree.h"

namespace ito::test {
namespace {

// |f(x)| where f is SiLU: the magnitude of an input term, as an input of the layer without f.
Values input_sizes(const Values& x, const LinearShape& s) {
  Values sizes = x;
  for (double& v : sizes) v = std::fabs(s.silu_input ? ref::silu(v) : v);
  return sizes;
}

LinearShape without_silu(LinearShape s) {
  s.silu_input = false;
  return s;
}

// f costs 10 half units (exponential 4, sum, quotient, product); a sum of n terms at most n.
TEST(Linear, MatchesLoops) {
  for_each_case(cases::linear_shapes(), [](Stream& stream, const LinearShape& s) {
    const std::string what = join_text("linear ", s.n, "x", s.c, "->", s.k, s.silu_input ? " silu" : "");
    const Values x = stored<float>(random_values(size_t(s.n) * s.c, 1, 2.0));
    const Values w = stored<float>(random_values(size_t(s.k) * s.c, 2));
    const Values b = stored<float>(random_values(s.k, 3));
    const Values dy = stored<float>(random_values(size_t(s.n) * s.k, 4));
    DeviceArray<float> dev_x(stream, x), dev_w(stream, w), dev_b(stream, b), dev_dy(stream, dy);
    const LinearShape plain = without_silu(s);

    DeviceArray<float> y(stream, dy.size());
    for (bool bias : {true, false}) {
      linear_forward(stream, y, dev_x, dev_w, bias ? dev_b.data() : nullptr, s);
      const Values none;
      expect_close(what + " y", y.values(), ref::linear_forward(x, w, bias ? b : none, s), kRoundFloat,
                   (s.c / 16 + 18) * kRoundFloat,
                   ref::linear_forward(input_sizes(x, s), absolute(w), bias ? absolute(b) : none, plain));
    }

    const ref::LinearGradients want = ref::linear_backward(dy, x, w, s);
    const ref::LinearGradients size = ref::linear_backward(absolute(dy), input_sizes(x, s), absolute(w), plain);
    expect_set_and_added<float>(
        stream, what + " dx", want.dx, kRoundFloat, (s.k + 16) * kRoundFloat, size.dx,
        [&](float* dx, Write write) { linear_backward_data(stream, dx, write, dev_dy, dev_x, dev_w, s); });
    DeviceArray<float> dw(stream, w.size()), db(stream, b.size());
    linear_backward_weight(stream, dw, db, dev_dy, dev_x, s);
    expect_close(what + " dw", dw.values(), want.dweight, kRoundFloat, (s.n + 12) * kRoundFloat, size.dweight);
    expect_close(what + " db", db.values(), want.dbias, kRoundFloat, (s.n + 1) * kRoundFloat, size.dbias);
  });
}

TEST(Linear, LoopsMatchFiniteDifferences) {
  const LinearShape s{4, 5, 6, true};
  const Values x = random_values(20, 1), w = random_values(30, 2), b = random_values(6, 3), dy = random_values(24, 4);
  const ref::LinearGradients g = ref::linear_backward(dy, x, w, s);
  expect_gradient(
      "x", [&](const Values& v) { return dot(dy, ref::linear_forward(v, w, b, s)); }, x, g.dx);
  expect_gradient(
      "w", [&](const Values& v) { return dot(dy, ref::linear_forward(x, v, b, s)); }, w, g.dweight);
  expect_gradient(
      "b", [&](const Values& v) { return dot(dy, ref::linear_forward(x, w, v, s)); }, b, g.dbias);
}

TEST(Linear, ARowDoesNotDependOnTheOthers) {
  Stream stream;
  const LinearShape five{5, 37, 130, true}, one{1, 37, 130, true};
  DeviceArray<float> x(stream, random_values(5 * 37, 1)), w(stream, random_values(130 * 37, 2));
  DeviceArray<float> dy(stream, random_values(5 * 130, 3));
  DeviceArray<float> y5(stream, 5 * 130), y1(stream, 130), dx5(stream, 5 * 37), dx1(stream, 37);
  linear_forward(stream, y5, x, w, nullptr, five);
  linear_backward_data(stream, dx5, Write::Set, dy, x, w, five);
  for (int row : {0, 3, 4}) {
    linear_forward(stream, y1, x + row * 37, w, nullptr, one);
    linear_backward_data(stream, dx1, Write::Set, dy + row * 130, x + row * 37, w, one);
    EXPECT_EQ(y1.bits(), y5.bits().substr(row * 130 * 4, 130 * 4));
    EXPECT_EQ(dx1.bits(), dx5.bits().substr(row * 37 * 4, 37 * 4));
  }
}

// Chunks of rows are the leaves: each gradient alone, joined as the tree says, is the whole one's bits.
TEST(Linear, WeightGradientJoinsItsChunksByTheTree) {
  Stream stream;
  const int chunk = images_per_chunk(), rows = 6 * chunk + 1, c = 70, k = 19;
  DeviceArray<float> x(stream, random_values(rows * c, 1)), dy(stream, random_values(rows * k, 2));
  DeviceArray<float> dw(stream, k * c), db(stream, k);
  std::vector<std::vector<float>> weights, biases;
  for (int first = 0; first < rows; first += chunk) {
    linear_backward_weight(stream, dw, db, dy + first * k, x + first * c, {std::min(chunk, rows - first), c, k, true});
    weights.push_back(dw.raw());
    biases.push_back(db.raw());
  }
  for (const int leaves : {1, 2, 3, 5, 7}) {
    linear_backward_weight(stream, dw, db, dy, x, {std::min(leaves * chunk, rows), c, k, true});
    EXPECT_EQ(dw.raw(), ref::tree_sum(std::vector(weights.begin(), weights.begin() + leaves))) << leaves << " chunks";
    EXPECT_EQ(db.raw(), ref::tree_sum(std::vector(biases.begin(), biases.begin() + leaves))) << leaves << " chunks";
  }
}

}  // namespace
}  // namespace ito::test
