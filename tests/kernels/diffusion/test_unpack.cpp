// SPDX-License-Identifier: Apache-2.0
// Images from bytes or floats, mirrored or not, against plain loops: the same bits, since every number has two
// roundings of its own.
#include "kernels/diffusion/unpack.h"
#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

struct Case {
  int n;
  ImageRows size;
};
// Four numbers a thread and 4096 a block: less than one, ragged rows, more than a block.
constexpr Case kCases[] = {{1, {1, 1, 1}}, {3, {2, 5, 3}}, {4, {4, 4, 1}}, {2, {37, 38, 3}}};

template <class T>
std::vector<T> images_of(const Case& at) {
  std::vector<T> images(static_cast<size_t>(at.n) * at.size.height * at.size.width * at.size.channels);
  for (size_t i = 0; i < images.size(); ++i) images[i] = static_cast<T>(i * 37 % 256);
  return images;
}

float number_of(uint8_t v) {
  return static_cast<float>(v) / 127.5f - 1.0f;
}
float number_of(float v) {
  return v;
}

// The batch of step 3, of 9 images a step, at `first` before it.
template <class T>
void check(const Case& at, bool flips, int64_t first, int* mirrored) {
  Stream stream;
  const auto [height, width, channels] = at.size;
  const std::vector<T> images = images_of<T>(at);
  DeviceArray<T> device(stream, images.size());
  device.upload_raw(images);
  DeviceArray<int64_t> step(stream, Values{3});
  DeviceArray<float> x0(stream, images.size());
  unpack_images(stream, x0, device.data(), flips, SampleCounter::of_training(11, step, 9, first), at.n, at.size);
  std::vector<float> want;
  for (int n = 0; n < at.n; ++n) {
    const bool mirrors = flips && mirrors_image(11, static_cast<uint64_t>(first + 27 + n));
    *mirrored += mirrors;
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        for (int c = 0; c < channels; ++c)
          want.push_back(number_of(images[((n * height + y) * width + (mirrors ? width - 1 - x : x)) * channels + c]));
  }
  EXPECT_EQ(x0.raw(), want) << at.n << " of " << height << " x " << width << " x " << channels << ", " << flips;
}

TEST(UnpackImages, BytesAndFloatsMirroredOrNot) {
  int mirrored = 0, not_asked = 0;
  for (const Case& at : kCases) {
    check<uint8_t>(at, false, 0, &not_asked);
    check<uint8_t>(at, true, 0, &mirrored);
    check<float>(at, true, 5, &mirrored);
    check<uint8_t>(at, true, int64_t{1} << 40, &mirrored);  // the number's upper half counts too
  }
  EXPECT_EQ(not_asked, 0);
  EXPECT_GT(mirrored, 5);  // of 30
  EXPECT_LT(mirrored, 25);
}

}  // namespace
}  // namespace ito::test
