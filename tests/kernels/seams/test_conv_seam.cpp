// SPDX-License-Identifier: Apache-2.0
// The convolution seam: values against fp64 loops, and the promises about bits. Tolerances: a sum of T terms in fp32,
// in any order, is within T u sum|terms| (u = 2^-24); storing adds one rounding of the result, and a bf16 layer may
// store the sum before the epilogue, which adds one rounding of that.
#include <algorithm>
#include <memory>

#include "kernels/seams/conv.h"
#include "tests/kernels/op_test.h"
#include "tests/ref/conv.h"
#include "tests/ref/sum_tree.h"

namespace ito::test {
namespace {

struct Case {
  ConvShape shape;
  const char* what;
};

// Names go into the tests' output; the last three are cut into row bands on the cpu.
const Case kSmall[] = {
    {{7, 9, 5, 7, 3, 3, 1, 1, 1, 1, 1}, "5 to 7"},
    {{8, 6, 1, 32, 3, 3, 1, 1, 1, 1, 1}, "1 to 32"},
    {{6, 8, 32, 1, 3, 3, 1, 1, 1, 1, 1}, "32 to 1"},
    {{9, 7, 16, 24, 3, 3, 2, 1, 1, 1, 1}, "stride 2, padding 1"},
    {{8, 10, 8, 16, 3, 3, 2, 0, 0, 1, 1}, "stride 2, padding below and right"},
    {{9, 7, 8, 16, 3, 3, 2, 0, 0, 1, 1}, "stride 2, padding below and right, odd size"},
    {{6, 5, 40, 24, 1, 1, 1, 0, 0, 0, 0}, "1x1"},
    {{4, 4, 64, 32, 3, 3, 1, 1, 1, 1, 1}, "4x4 image"},
    {{7, 7, 3, 8, 5, 5, 1, 2, 2, 2, 2}, "5x5"},
    {{6, 6, 4, 4, 3, 3, 1, 0, 0, 0, 0}, "no padding"},
    {{7, 6, 18, 3, 2, 3, 2, 1, 2, 0, 1}, "2x3 filters, every padding another"},
    {{6, 7, 32, 3, 3, 3, 1, 0, 1, 2, 1}, "32 to 3, paddings above and below"},
    {{5, 9, 16, 24, 1, 7, 1, 0, 3, 0, 3}, "1x7"},
    {{9, 5, 24, 16, 7, 1, 1, 3, 0, 3, 0}, "7x1"},
};
const Case kLarge[] = {
    {{16, 16, 64, 64, 3, 3, 1, 1, 1, 1, 1}, "bands"},
    {{28, 27, 64, 64, 3, 3, 2, 0, 0, 1, 1}, "bands, stride 2, padding below and right"},
    {{29, 28, 64, 64, 3, 3, 2, 1, 1, 1, 1}, "bands, stride 2, padding 1"},
};

// A layer with its memory, and tensors of n images.
template <class T>
struct Layer {
  Stream& stream;
  ConvShape s;
  int n;
  int64_t x_row, y_row;
  Values weight, x, dy, bias, residual;
  ConvLayer layer;
  DeviceArray<float> masters, dbias, bias_data;
  DeviceArray<char> packed;
  DeviceArray<T> x_data, dy_data, residual_data;

  Layer(Stream& st, const ConvShape& shape, int n_, bool training = true)
      : stream(st),
        s(shape),
        n(n_),
        x_row(int64_t{1} * s.h * s.w * s.c),
        y_row(int64_t{1} * s.out_h() * s.out_w() * s.k),
        weight(random_values(s.weights(), 1)),
        x(stored<T>(random_values(n * x_row, 2))),
        dy(stored<T>(random_values(n * y_row, 3))),
        bias(stored<float>(random_values(s.k, 4))),
        residual(stored<T>(random_values(n * y_row, 6))),
        layer("conv under test", s, dtype_of<T>, {training, training}),
        masters(st, weight),
        dbias(st, s.k),
        bias_data(st, bias),
        packed(st, layer.packed_bytes()),
        x_data(st, x),
        dy_data(st, dy),
        residual_data(st, residual) {
    layer.bind(packed);
    layer.pack(st, masters);
    weight = stored<T>(stored<float>(weight));  // what the layer multiplies by
  }

  void forward(T* y, const ConvEpilogue& epilogue, int first = 0, int count = 0) {
    count = count ? count : n;
    DeviceArray<char> workspace(stream, layer.forward_workspace(count));
    layer.forward(stream, y, x_data + first * x_row, epilogue, count, workspace);
  }
  void backward_data(T* dx, Write write, int first = 0, int count = 0) {
    count = count ? count : n;
    DeviceArray<char> workspace(stream, layer.backward_data_workspace(count));
    layer.backward_data(stream, dx, write, dy_data + first * y_row, count, workspace);
  }
  void backward_weight(float* dweight, float* db, int first = 0, int count = 0) {
    count = count ? count : n;
    DeviceArray<char> workspace(stream, layer.backward_weight_workspace(count));
    layer.backward_weight(stream, dweight, db, dy_data + first * y_row, x_data + first * x_row, count, workspace);
  }
};

template <class T>
class ConvSeam : public ::testing::Test {
 public:
  void SetUp() override {
    if (dtype_of<T> == DType::BF16 && !device_has_bf16()) GTEST_SKIP() << "no bf16 products on this processor";
  }
  ~ConvSeam() override { set_device_threads(0); }
  Stream stream;
};
TYPED_TEST_SUITE(ConvSeam, StorageTypes);

// y and dx of one case against the loops; epilogue bits: bias, residual, scale.
template <class T>
void check_forward(Stream& stream, const Case& c, int n, int epilogue_bits) {
  SCOPED_TRACE(testing::Message() << c.what << ", n " << n << ", epilogue " << epilogue_bits);
  Layer<T> l(stream, c.shape, n, false);
  ConvEpilogue e;
  if (epilogue_bits & 1) e.bias = l.bias_data;
  if (epilogue_bits & 2) e.residual = l.residual_data.data();
  if (epilogue_bits & 4) e.scale = 0.70710678f;
  DeviceArray<T> y(stream, n * l.y_row);
  l.forward(y, e);
  Values want, bound;
  // Where the bias is added: by the library, or after the sum is stored.
  const bool stores_sum = l.layer.implementations().find("forward=cudnn") != std::string::npos;
  const Values sum = ref::conv_forward(l.x, l.weight, {}, l.s, n);
  const Values size = ref::conv_forward(absolute(l.x), absolute(l.weight), {}, l.s, n);
  const double terms = int64_t{1} * l.s.r * l.s.s * l.s.c + 3;
  for (int64_t i = 0; i < n * l.y_row; ++i) {
    const double b = e.bias ? l.bias[i % l.s.k] : 0;
    const double r = e.residual ? l.residual[i] : 0;
    want.push_back(e.scale * (sum[i] + b + r));
    const double magnitude = size[i] + std::fabs(b) + std::fabs(r);
    double stored_error = kRound<T> * std::fabs(want.back());
    if (stores_sum && epilogue_bits) stored_error += kRound<T> * 1.01 * e.scale * std::fabs(sum[i]);
    if (!stores_sum && epilogue_bits & ~1) stored_error += kRound<T> * 1.01 * e.scale * std::fabs(sum[i] + b);
    bound.push_back(e.scale * terms * kRoundFloat * magnitude + 1.01 * stored_error);
  }
  expect_within("y", y.values(), want, bound);
}

TYPED_TEST(ConvSeam, Forward) {
  for (const Case& c : kSmall)
    for (int n : {1, 3, 5, 8}) check_forward<TypeParam>(this->stream, c, n, n == 1 ? 0 : 1);
  for (const Case& c : kLarge) check_forward<TypeParam>(this->stream, c, 1, 1);
}

TYPED_TEST(ConvSeam, Epilogues) {
  for (int bits = 0; bits < 8; ++bits) {
    check_forward<TypeParam>(this->stream, kSmall[0], 3, bits);
    check_forward<TypeParam>(this->stream, kSmall[6], 2, bits);
    check_forward<TypeParam>(this->stream, kSmall[11], 2, bits);
  }
  check_forward<TypeParam>(this->stream, kLarge[0], 2, 7);
}

template <class T>
void check_backward_data(Stream& stream, const Case& c, int n, Write write) {
  SCOPED_TRACE(testing::Message() << c.what << ", n " << n << (write == Write::Add ? ", add" : ", set"));
  Layer<T> l(stream, c.shape, n);
  const Values old = stored<T>(random_values(n * l.x_row, 9));
  DeviceArray<T> dx(stream, n * l.x_row);
  if (write == Write::Add) dx.upload(old);
  l.backward_data(dx, write);
  const Values product = ref::conv_backward_data(l.dy, l.weight, l.s, n);
  const Values magnitude = ref::conv_backward_data(absolute(l.dy), absolute(l.weight), l.s, n);
  Values want, bound;
  const double terms = int64_t{1} * l.s.r * l.s.s * l.s.k + 1;
  for (size_t i = 0; i < product.size(); ++i) {
    const double before = write == Write::Add ? old[i] : 0;
    want.push_back(product[i] + before);
    const double stored_error = kRound<T> * (std::fabs(want[i]) + (write == Write::Add ? std::fabs(product[i]) : 0));
    bound.push_back(terms * kRoundFloat * (magnitude[i] + std::fabs(before)) + 1.01 * stored_error);
  }
  expect_within("dx", dx.values(), want, bound);
}

TYPED_TEST(ConvSeam, BackwardData) {
  for (const Case& c : kSmall)
    for (int n : {1, 3}) check_backward_data<TypeParam>(this->stream, c, n, n == 1 ? Write::Set : Write::Add);
  for (const Case& c : kLarge) check_backward_data<TypeParam>(this->stream, c, 1, Write::Set);
  check_backward_data<TypeParam>(this->stream, kLarge[0], 2, Write::Add);
}

template <class T>
void check_backward_weight(Stream& stream, const Case& c, int n) {
  SCOPED_TRACE(testing::Message() << c.what << ", n " << n);
  Layer<T> l(stream, c.shape, n);
  DeviceArray<float> dweight(stream, l.s.weights()), dbias(stream, l.s.k);
  l.backward_weight(dweight, dbias);
  Values want = ref::conv_backward_weight(l.dy, l.x, l.s, n, n);
  Values magnitude = ref::conv_backward_weight(absolute(l.dy), absolute(l.x), l.s, n, n);
  Values want_bias(l.s.k, 0.0), magnitude_bias(l.s.k, 0.0);
  for (size_t i = 0; i < l.dy.size(); ++i) {
    want_bias[i % l.s.k] += l.dy[i];
    magnitude_bias[i % l.s.k] += std::fabs(l.dy[i]);
  }
  const double terms = int64_t{1} * n * l.s.out_h() * l.s.out_w() + 1;
  expect_close("dweight", dweight.values(), want, kRoundFloat, terms * kRoundFloat, magnitude);
  expect_close("dbias", dbias.values(), want_bias, kRoundFloat, terms * kRoundFloat, magnitude_bias);
}

TYPED_TEST(ConvSeam, BackwardWeight) {
  for (const Case& c : kSmall)
    for (int n : {1, 3, 5, 8}) check_backward_weight<TypeParam>(this->stream, c, n);
  check_backward_weight<TypeParam>(this->stream, kLarge[2], 1);
}

TYPED_TEST(ConvSeam, NullBiasGradientIsLeftOut) {
  Layer<TypeParam> l(this->stream, kSmall[0].shape, 5);
  DeviceArray<float> with(this->stream, l.s.weights()), without(this->stream, l.s.weights()),
      dbias(this->stream, l.s.k);
  l.backward_weight(with, dbias);
  l.backward_weight(without, nullptr);
  EXPECT_EQ(with.bits(), without.bits());
}

// Image i of y and dx has the same bits in every batch, at every place in it, on any number of threads.
TYPED_TEST(ConvSeam, ImagesDoNotKnowTheirBatch) {
  using T = TypeParam;
  for (const Case& c : {kSmall[0], kSmall[3], kSmall[11], kLarge[0]}) {
    SCOPED_TRACE(c.what);
    const int most = 8;
    Layer<T> l(this->stream, c.shape, most);
    DeviceArray<T> y(this->stream, most * l.y_row), dx(this->stream, most * l.x_row);
    const auto run = [&](int first, int n) {
      ConvEpilogue e;
      e.bias = l.bias_data;
      e.residual = l.residual_data + first * l.y_row;
      e.scale = 0.5f;
      fill_bytes(this->stream, y, 0xFF, y.bytes());
      fill_bytes(this->stream, dx, 0xFF, dx.bytes());
      l.forward(y + first * l.y_row, e, first, n);
      l.backward_data(dx + first * l.x_row, Write::Set, first, n);
      return std::pair(y.bits().substr(first * l.y_row * sizeof(T), n * l.y_row * sizeof(T)),
                       dx.bits().substr(first * l.x_row * sizeof(T), n * l.x_row * sizeof(T)));
    };
    set_device_threads(1);
    const auto [all_y, all_dx] = run(0, most);
    for (int threads : {1, 2, 3, 5}) {
      set_device_threads(threads);
      for (const auto& [first, n] : {std::pair{0, 8}, {0, 1}, {2, 1}, {0, 3}, {3, 5}}) {
        const auto [some_y, some_dx] = run(first, n);
        const size_t y_bytes = l.y_row * sizeof(T), x_bytes = l.x_row * sizeof(T);
        EXPECT_TRUE(some_y == all_y.substr(first * y_bytes, n * y_bytes)) << first << " " << n << " " << threads;
        EXPECT_TRUE(some_dx == all_dx.substr(first * x_bytes, n * x_bytes)) << first << " " << n << " " << threads;
      }
    }
  }
}

// Each chunk's gradient alone, joined as the tree says, has the bits of all at once, on any number of threads.
TYPED_TEST(ConvSeam, WeightGradientsJoinTheirChunksByTheTree) {
  using T = TypeParam;
  const int chunk = images_per_chunk(), n = 7 * chunk - 1;
  for (const Case& c : {kSmall[0], kSmall[1], kSmall[2], kSmall[4], kSmall[6], kSmall[11]}) {
    SCOPED_TRACE(c.what);
    Layer<T> l(this->stream, c.shape, n);
    DeviceArray<float> dweight(this->stream, l.s.weights()), dbias(this->stream, l.s.k);
    std::vector<std::vector<float>> weights, biases;
    for (int first = 0; first < n; first += chunk) {
      l.backward_weight(dweight, dbias, first, std::min(chunk, n - first));
      weights.push_back(dweight.raw());
      biases.push_back(dbias.raw());
    }
    const std::vector<float> weight = ref::tree_sum(weights), bias = ref::tree_sum(biases);
    for (int threads : {1, 2, 3, 5}) {
      set_device_threads(threads);
      l.backward_weight(dweight, dbias);
      EXPECT_EQ(dweight.raw(), weight) << threads << " threads";
      EXPECT_EQ(dbias.raw(), bias) << threads << " threads";
    }
  }
}

TYPED_TEST(ConvSeam, CapturedEqualsEager) {
  using T = TypeParam;
  Layer<T> l(this->stream, kSmall[3].shape, 5);
  DeviceArray<T> y(this->stream, 5 * l.y_row), dx(this->stream, 5 * l.x_row);
  DeviceArray<float> dweight(this->stream, l.s.weights()), dbias(this->stream, l.s.k);
  DeviceArray<char> workspace(this->stream, std::max({l.layer.forward_workspace(5), l.layer.backward_data_workspace(5),
                                                      l.layer.backward_weight_workspace(5)}));
  ConvEpilogue e;
  e.bias = l.bias_data;
  e.residual = l.residual_data.data();
  const auto run = [&] {
    l.layer.pack(this->stream, l.masters);
    l.layer.forward(this->stream, y.data(), l.x_data.data(), e, 5, workspace);
    l.layer.backward_data(this->stream, dx.data(), Write::Set, l.dy_data.data(), 5, workspace);
    l.layer.backward_weight(this->stream, dweight, dbias, l.dy_data.data(), l.x_data.data(), 5, workspace);
  };
  const auto bits = [&] { return y.bits() + dx.bits() + dweight.bits() + dbias.bits(); };
  run();
  const std::string eager = bits();
  this->stream.begin_capture();
  run();
  const Graph graph = this->stream.end_capture();
  EXPECT_GE(graph.nodes(), 4u);
  for (int replay = 0; replay < 2; ++replay) {
    for (auto* array : {&y, &dx}) fill_bytes(this->stream, *array, 0xFF, array->bytes());
    for (auto* array : {&dweight, &dbias}) fill_bytes(this->stream, *array, 0xFF, array->bytes());
    fill_bytes(this->stream, l.packed, 0xFF, l.packed.bytes());
    this->stream.replay(graph);
    EXPECT_TRUE(eager == bits()) << "replay " << replay;
  }
}

TYPED_TEST(ConvSeam, NewMastersNeedAPack) {
  using T = TypeParam;
  Layer<T> l(this->stream, kSmall[0].shape, 1);
  DeviceArray<T> y(this->stream, l.y_row);
  l.forward(y, {});
  const std::string first = y.bits();
  l.masters.upload(random_values(l.s.weights(), 77));
  l.layer.pack(this->stream, l.masters);
  l.forward(y, {});
  EXPECT_FALSE(first == y.bits());
}

TYPED_TEST(ConvSeam, RefusesMisuse) {
  using T = TypeParam;
  EXPECT_THROW(ConvLayer("empty", ConvShape{2, 2, 4, 4, 5, 5, 1, 0, 0, 0, 0}, dtype_of<T>, {}), Error);
  ConvLayer layer("unbound", kSmall[0].shape, dtype_of<T>, {});
  DeviceArray<T> x(this->stream, 7 * 9 * 5), y(this->stream, 7 * 9 * 7);
  EXPECT_THROW(layer.forward(this->stream, y.data(), x.data(), {}, 1, nullptr), Error);
  Layer<T> inference(this->stream, kSmall[0].shape, 1, false);
  EXPECT_THROW(inference.layer.backward_data(this->stream, x.data(), Write::Set, y.data(), 1, nullptr), Error);
  ConvLayer weight_alone("weight alone", kSmall[0].shape, dtype_of<T>, {false, true});
  DeviceArray<char> packed(this->stream, weight_alone.packed_bytes());
  weight_alone.bind(packed.data());
  EXPECT_THROW(weight_alone.backward_data(this->stream, x.data(), Write::Set, y.data(), 1, packed.data()), Error);
  EXPECT_GT(weight_alone.backward_weight_workspace(1), 0u);
  const ConvLayer data_alone("data alone", kSmall[0].shape, dtype_of<T>, {true, false});
  EXPECT_EQ(data_alone.backward_weight_workspace(1), 0u);
}

}  // namespace
}  // namespace ito::test
