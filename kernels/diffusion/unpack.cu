// SPDX-License-Identifier: Apache-2.0
// Bytes to fp32 in [-1, 1] and the mirror, element by element (formula in the header). The division and the subtraction
// are two roundings, as on the host. A block owns four thousand numbers of an image, so that whether the image is
// mirrored is drawn once a thread. Bytes an element: 1 read (4 of floats), 4 written.
// Refused: noising that reads bytes. The loss and the bound read x0 once more, each with the mirror and the division
// again, to spare three bytes an element of three that a step reads of hundreds.
#include "kernels/diffusion/unpack.h"

#include "dialect.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

DEVICE float number_of(uint8_t v) {
  return static_cast<float>(v) / 127.5f - 1.0f;
}
DEVICE float number_of(float v) {
  return v;
}

template <class T>
KERNEL void unpack_images_kernel(float* __restrict__ x0, const T* __restrict__ images, bool flips,
                                 SampleCounter counter, ImageRows size) {
  const int row = size.width * size.channels;
  const int64_t image_size = int64_t{size.height} * row;
  const int64_t blocks = quad_blocks(image_size), image = blockIdx.x / blocks;
  const bool mirrors = flips && mirrors_image(counter.seed, static_cast<uint64_t>(sample_number(counter, image)));
  float* out = x0 + image * image_size;
  const T* from = images + image * image_size;
  for_quads(image_size, blockIdx.x % blocks, [&](int64_t quad, auto width) {
    for (int j = 0; j < width; ++j) {
      const int64_t at = 4 * quad + j;
      int64_t source = at;
      if (mirrors) {
        const int in_row = static_cast<int>(at % row), x = in_row / size.channels;
        source = at + (size.width - 1 - 2 * x) * size.channels;
      }
      out[at] = number_of(from[source]);
    }
  });
}

template <class T>
void launch_unpack(Stream& stream, float* x0, const T* image, bool flips, const SampleCounter& counter, int n,
                   const ImageRows& size) {
  ITO_CHECK(n >= 0 && size.height > 0 && size.width > 0 && size.channels > 0, "unpack_images: N ", n, " of ",
            size.height, " x ", size.width, " x ", size.channels, ", expected positive sizes");
  const int64_t blocks = quad_blocks(int64_t{1} * size.height * size.width * size.channels);
  launch<unpack_images_kernel<T>>("unpack_images", Dim3(n * blocks), kQuadThreads, 0, stream, x0, image, flips, counter,
                                  size);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void unpack_images(Stream& stream, float* x0, const uint8_t* image, bool flips, const SampleCounter& counter, int n,
                   const ImageRows& size) {
  launch_unpack(stream, x0, image, flips, counter, n, size);
}

void unpack_images(Stream& stream, float* x0, const float* image, bool flips, const SampleCounter& counter, int n,
                   const ImageRows& size) {
  launch_unpack(stream, x0, image, flips, counter, n, size);
}

}  // namespace ito
