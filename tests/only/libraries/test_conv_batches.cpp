// SPDX-License-Identifier: Apache-2.0
// The convolution seam's promise about bits on layers of the size of real models, which sim would take minutes for: a
// library may run another form of a kernel, or cut a sum otherwise, where a batch is large or leaves some of its last
// blocks without work. So batches here are ones after which tiles are left over and ones after which there are none.
#include "kernels/seams/conv.h"

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

template <class T>
struct LargeLayer {
  ConvShape shape;
  ConvLayer layer;
  DeviceArray<char> packed;
  DeviceArray<T> x, dy;

  LargeLayer(Stream& stream, const ConvShape& s, int most)
      : shape(s),
        layer("large", s, dtype_of<T>, {true, false}),
        packed(stream, layer.packed_bytes()),
        x(stream, random_values(size_t(most) * s.h * s.w * s.c, 1)),
        dy(stream, random_values(size_t(most) * s.out_h() * s.out_w() * s.k, 2)) {
    const DeviceArray<float> weight(stream, random_values(size_t(s.weights()), 3, 0.02));
    layer.bind(packed.data());
    layer.pack(stream, weight);
    stream.synchronize();
  }

  // Of the first n images: y, then dx.
  std::pair<std::string, std::string> run(Stream& stream, int n) {
    DeviceArray<T> y(stream, size_t(n) * shape.out_h() * shape.out_w() * shape.k);
    DeviceArray<T> dx(stream, size_t(n) * shape.h * shape.w * shape.c);
    const DeviceArray<char> workspace(stream, std::max(layer.forward_workspace(n), layer.backward_data_workspace(n)));
    layer.forward(stream, y.data(), x.data(), {}, n, workspace.data());
    layer.backward_data(stream, dx.data(), Write::Set, dy.data(), n, workspace.data());
    return {y.bits(), dx.bits()};
  }
};

template <class T>
class ConvBatches : public ::testing::Test {
 public:
  void SetUp() override {
    if (dtype_of<T> == DType::BF16 && !device_has_bf16()) GTEST_SKIP() << "no bf16 products on this processor";
  }
};
TYPED_TEST_SUITE(ConvBatches, StorageTypes);

// Two layers of ddpm-256 and one of ddpm-cifar10.
TYPED_TEST(ConvBatches, AnImageOfALargeLayerDoesNotKnowItsBatch) {
  constexpr int kMost = 64;
  for (const ConvShape& s :
       {ConvShape{8, 8, 512, 512, 3, 3, 1, 1, 1, 1, 1}, ConvShape{16, 16, 256, 512, 1, 1, 1, 0, 0, 0, 0},
        ConvShape{8, 8, 512, 256, 3, 3, 1, 1, 1, 1, 1}}) {
    Stream stream;
    LargeLayer<TypeParam> layer(stream, s, kMost);
    const auto [y, dx] = layer.run(stream, kMost);
    for (const int n : {1, 3, 8, 9, 19, 29, 37}) {
      const auto [some_y, some_dx] = layer.run(stream, n);
      EXPECT_TRUE(some_y == y.substr(0, some_y.size())) << s.c << " to " << s.k << ", forward of " << n << " images";
      EXPECT_TRUE(some_dx == dx.substr(0, some_dx.size()))
          << s.c << " to " << s.k << ", data gradient of " << n << " images";
    }
  }
}

}  // namespace
}  // namespace ito::test
