// SPDX-License-Identifier: Apache-2.0
// Convolutions by Winograd's tiles against fp64 loops. Their errors are bounded by the same transforms of absolute
// values: C products added up, and around them at most 2 roundings for a tile of the input, 4 for filters, 4 for the
// output and 3 for the epilogue. Weight gradients add up the chunk's tiles in place of channels.
#include <algorithm>

#include "kernels/seams/conv.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/conv.h"
#include "tests/ref/sum_tree.h"

namespace ito::test {
namespace {

constexpr double kAround = 2 + 4 + 4 + 3;
// Absolute values of B^T, G and A^T.
constexpr double kB[4][4] = {{1, 0, 1, 0}, {0, 1, 1, 0}, {0, 1, 1, 0}, {0, 1, 0, 1}};
constexpr double kG[4][3] = {{1, 0, 0}, {.5, .5, .5}, {.5, .5, .5}, {0, 0, 1}};
constexpr double kA[2][4] = {{1, 1, 1, 0}, {0, 1, 1, 1}};

// Ragged tiles, and a padding of its own on every side; one band, and several.
const ConvShape kShapes[] = {{15, 14, 32, 48, 3, 3, 1, 1, 1, 1, 1}, {28, 27, 64, 64, 3, 3, 1, 0, 1, 2, 1}};

// sum over i, j of m[a][i] n[b][j] get(i, j)
template <size_t I, size_t J, class Get>
double transformed(const double (&m)[I], const double (&n)[J], const Get& get) {
  double sum = 0;
  for (size_t i = 0; i < I; ++i)
    for (size_t j = 0; j < J; ++j)
      if (m[i] * n[j] != 0) sum += m[i] * n[j] * get(static_cast<int>(i), static_cast<int>(j));
  return sum;
}

// Of one image or its gradient (h, w, c), 0 outside.
struct Image {
  const double* values;
  int h, w, c;
  double at(int i, int j, int channel) const {
    return i < 0 || i >= h || j < 0 || j >= w ? 0 : std::fabs(values[(int64_t{1} * i * w + j) * c + channel]);
  }
};

// B^T |d| B of the tile of y at (i, j), and A |dy| A^T.
Values input_tile(const ConvShape& s, const Image& x, int i, int j, int channel) {
  Values out;
  for (int a = 0; a < 4; ++a)
    for (int b = 0; b < 4; ++b)
      out.push_back(transformed(
          kB[a], kB[b], [&](int r, int q) { return x.at(2 * i - s.pad_top + r, 2 * j - s.pad_left + q, channel); }));
  return out;
}

// The bound's sum for every element of y, with u the transformed filters (K, C, 16).
Values output_bound(const ConvShape& s, const Image& x, const Values& u) {
  Values out(size_t(s.out_h()) * s.out_w() * s.k, 0.0);
  for (int i = 0; 2 * i < s.out_h(); ++i) {
    for (int j = 0; 2 * j < s.out_w(); ++j) {
      std::vector<Values> tiles;
      for (int c = 0; c < s.c; ++c) tiles.push_back(input_tile(s, x, i, j, c));
      for (int k = 0; k < s.k; ++k) {
        double m[16] = {};
        for (int c = 0; c < s.c; ++c)
          for (int e = 0; e < 16; ++e) m[e] += tiles[c][e] * u[(size_t(k) * s.c + c) * 16 + e];
        for (int p = 2 * i; p < std::min(2 * i + 2, s.out_h()); ++p)
          for (int q = 2 * j; q < std::min(2 * j + 2, s.out_w()); ++q)
            out[(size_t(p) * s.out_w() + q) * s.k + k] =
                transformed(kA[p % 2], kA[q % 2], [&](int a, int b) { return m[4 * a + b]; });
      }
    }
  }
  return out;
}

Values filter_bound(const ConvShape& s, const Values& weight) {
  Values u;
  for (int64_t i = 0; i < int64_t{1} * s.k * s.c; ++i)
    for (int e = 0; e < 16; ++e)
      u.push_back(transformed(kG[e / 4], kG[e % 4], [&](int r, int q) {
        return std::fabs(weight[((i / s.c * 3 + r) * 3 + q) * s.c + i % s.c]);
      }));
  return u;
}

// The shape of dx = conv(dy), and its filters.
ConvShape turned(const ConvShape& s) {
  return {s.out_h(), s.out_w(), s.k, s.c, 3, 3, 1, 2 - s.pad_top, 2 - s.pad_left, 2 - s.pad_bottom, 2 - s.pad_right};
}
Values turned(const ConvShape& s, const Values& weight) {
  Values out(weight.size());
  for (int k = 0; k < s.k; ++k)
    for (int tap = 0; tap < 9; ++tap)
      for (int c = 0; c < s.c; ++c) out[(size_t(c) * 9 + 8 - tap) * s.k + k] = weight[(size_t(k) * 9 + tap) * s.c + c];
  return out;
}

Values weight_bound(const ConvShape& s, const Values& x, const Values& dy, int n) {
  const size_t x_row = size_t(s.h) * s.w * s.c, y_row = size_t(s.out_h()) * s.out_w() * s.k;
  Values u(size_t(s.k) * s.c * 16, 0.0), out(size_t(s.weights()));
  for (int image = 0; image < n; ++image) {
    const Image in{&x[image * x_row], s.h, s.w, s.c}, gradient{&dy[image * y_row], s.out_h(), s.out_w(), s.k};
    for (int i = 0; 2 * i < s.out_h(); ++i) {
      for (int j = 0; 2 * j < s.out_w(); ++j) {
        std::vector<Values> tiles;
        for (int c = 0; c < s.c; ++c) tiles.push_back(input_tile(s, in, i, j, c));
        for (int k = 0; k < s.k; ++k)
          for (int e = 0; e < 16; ++e) {
            double g = 0;
            for (int p = 0; p < 2; ++p)
              for (int q = 0; q < 2; ++q) g += kA[p][e / 4] * kA[q][e % 4] * gradient.at(2 * i + p, 2 * j + q, k);
            for (int c = 0; c < s.c; ++c) u[(size_t(k) * s.c + c) * 16 + e] += g * tiles[c][e];
          }
      }
    }
  }
  for (int k = 0; k < s.k; ++k)
    for (int tap = 0; tap < 9; ++tap)
      for (int c = 0; c < s.c; ++c)
        for (int e = 0; e < 16; ++e)
          out[(size_t(k) * 9 + tap) * s.c + c] +=
              kG[e / 4][tap / 3] * kG[e % 4][tap % 3] * u[(size_t(k) * s.c + c) * 16 + e];
  return out;
}

struct Layer {
  Stream& stream;
  ConvShape s;
  int n;
  size_t x_row, y_row;
  Values weight, x, dy, bias, residual;
  ConvLayer layer;
  DeviceArray<float> masters, bias_data, x_data, dy_data, residual_data, dweight, dbias;
  DeviceArray<char> packed, workspace;

  Layer(Stream& st, const ConvShape& shape, int n_)
      : stream(st),
        s(shape),
        n(n_),
        x_row(size_t(s.h) * s.w * s.c),
        y_row(size_t(s.out_h()) * s.out_w() * s.k),
        weight(stored<float>(random_values(s.weights(), 1, 0.1))),
        x(stored<float>(random_values(n * x_row, 2))),
        dy(stored<float>(random_values(n * y_row, 3))),
        bias(stored<float>(random_values(s.k, 4))),
        residual(stored<float>(random_values(n * y_row, 5))),
        layer("tiles", s, DType::F32, {true, true}),
        masters(st, weight),
        bias_data(st, bias),
        x_data(st, x),
        dy_data(st, dy),
        residual_data(st, residual),
        dweight(st, s.weights()),
        dbias(st, s.k),
        packed(st, layer.packed_bytes()),
        workspace(st, layer.backward_weight_workspace(n)) {
    EXPECT_NE(layer.implementations().find("winograd"), std::string::npos);
    layer.bind(packed);
    layer.pack(st, masters);
  }
  void forward(float* y, int first, int count) {
    ConvEpilogue e;
    e.bias = bias_data;
    e.residual = residual_data.data() + first * y_row;
    e.scale = 0.75f;
    layer.forward(stream, y, x_data.data() + first * x_row, e, count, nullptr);
  }
  void backward_weight(int first, int count) {
    layer.backward_weight(stream, dweight.data(), dbias, dy_data.data() + first * y_row, x_data.data() + first * x_row,
                          count, workspace);
  }
};

class Winograd : public ::testing::Test {
 public:
  ~Winograd() override { set_device_threads(0); }
  Stream stream;
};

TEST_F(Winograd, ForwardAndDataGradientAreWithinTheirBounds) {
  for (const ConvShape& s : kShapes) {
    SCOPED_TRACE(testing::Message() << s.h << " x " << s.w);
    Layer l(stream, s, 1);
    DeviceArray<float> y(stream, l.y_row), dx(stream, l.x_row);
    l.forward(y, 0, 1);
    Values want = ref::conv_forward(l.x, l.weight, {l.bias, l.residual, 0.75}, s, 1);
    Values bound = output_bound(s, {l.x.data(), s.h, s.w, s.c}, filter_bound(s, l.weight));
    for (size_t i = 0; i < bound.size(); ++i)
      bound[i] = (s.c + kAround) * kRoundFloat *
                 (bound[i] + std::fabs(l.bias[i % s.k]) + std::fabs(l.residual[i]) + std::fabs(want[i]));
    expect_within("y", y.values(), want, bound);

    const Values old = stored<float>(random_values(l.x_row, 9));
    dx.upload(old);
    l.layer.backward_data(stream, dx.data(), Write::Add, l.dy_data.data(), 1, nullptr);
    const ConvShape back = turned(s);
    want = plus(ref::conv_backward_data(l.dy, l.weight, s, 1), old);
    bound = output_bound(back, {l.dy.data(), back.h, back.w, back.c}, filter_bound(back, turned(s, l.weight)));
    for (size_t i = 0; i < bound.size(); ++i) bound[i] = (s.k + kAround) * kRoundFloat * (bound[i] + std::fabs(old[i]));
    expect_within("dx", dx.values(), want, bound);
  }
}

TEST_F(Winograd, WeightGradientsAreWithinTheirBoundsAndJoinByTheTree) {
  const int chunk = images_per_chunk();
  for (const ConvShape& s : kShapes) {
    SCOPED_TRACE(testing::Message() << s.h << " x " << s.w);
    Layer l(stream, s, 3 * chunk - 1);
    l.backward_weight(0, 2);
    Values bound = weight_bound(s, l.x, l.dy, 2);
    const double tiles = 2.0 * ceil_div(s.out_h(), 2) * ceil_div(s.out_w(), 2);
    for (double& b : bound) b *= (tiles + kAround) * kRoundFloat;
    const Values dy(l.dy.begin(), l.dy.begin() + 2 * l.y_row), x(l.x.begin(), l.x.begin() + 2 * l.x_row);
    expect_within("dweight", l.dweight.values(), ref::conv_backward_weight(dy, x, s, 2, 2), bound);
    Values want(s.k, 0.0), size(s.k, 0.0);
    for (size_t i = 0; i < dy.size(); ++i) want[i % s.k] += dy[i], size[i % s.k] += std::fabs(dy[i]);
    expect_close("dbias", l.dbias.values(), want, kRoundFloat, (tiles + kAround) * kRoundFloat, size);

    std::vector<std::vector<float>> weights, biases;
    for (int first = 0; first < l.n; first += chunk) {
      l.backward_weight(first, std::min(chunk, l.n - first));
      weights.push_back(l.dweight.raw());
      biases.push_back(l.dbias.raw());
    }
    for (int threads : {1, 2, 3}) {
      set_device_threads(threads);
      l.backward_weight(0, l.n);
      EXPECT_EQ(l.dweight.raw(), ref::tree_sum(weights)) << threads;
      EXPECT_EQ(l.dbias.raw(), ref::tree_sum(biases)) << threads;
    }
  }
}

TEST_F(Winograd, ImagesDoNotKnowTheirBatch) {
  for (const ConvShape& s : kShapes) {
    Layer l(stream, s, 5);
    DeviceArray<float> all(stream, 5 * l.y_row), one(stream, l.y_row);
    for (int threads : {1, 3}) {
      set_device_threads(threads);
      l.forward(all, 0, 5);
      for (int i : {0, 3, 4}) {
        l.forward(one, i, 1);
        EXPECT_TRUE(one.bits() == all.bits().substr(i * l.y_row * 4, l.y_row * 4)) << i << " " << threads;
      }
    }
  }
}

}  // namespace
}  // namespace ito::test
