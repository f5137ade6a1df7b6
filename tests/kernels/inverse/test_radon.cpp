// SPDX-License-Identifier: Apache-2.0
// Rays and their adjoint against the weights written out.
#include "kernels/inverse/radon.h"

#include "tests/kernels/op_test.h"

namespace ito::test {
namespace {

TEST(Radon, IsItsMatrixAndTheAdjointItsTranspose) {
  for (const auto& [height, width, channels, angles] : {std::tuple{1, 1, 1, 1}, {5, 8, 1, 6}, {9, 4, 2, 5}}) {
    SCOPED_TRACE(angles);
    Stream stream;
    const int n = 2, detectors = 2 * static_cast<int>(std::ceil(std::max(height, width) / std::sqrt(2.0))) + 3;
    Values directions;
    for (int q = 0; q < angles; ++q) {
      directions.push_back(std::cos(M_PI * q / angles));
      directions.push_back(std::sin(M_PI * q / angles));
    }
    directions = stored<float>(directions);
    DeviceArray<float> on_device(stream, directions);
    const RadonShape shape{height, width, channels, angles, detectors, on_device};
    const auto pixels = static_cast<size_t>(n * height * width * channels);
    const auto rays = static_cast<size_t>(n * angles * detectors * channels);
    const Values x = stored<float>(random_values(pixels, 1)), r = stored<float>(random_values(rays, 2));
    Values forward(rays), back(pixels);
    for (int image = 0; image < n; ++image)
      for (int q = 0; q < angles; ++q)
        for (int k = 0; k < detectors; ++k)
          for (int i = 0; i < height; ++i)
            for (int j = 0; j < width; ++j)
              for (int c = 0; c < channels; ++c) {
                const double along = (j - (width - 1) / 2.0) * directions[static_cast<size_t>(2 * q)] +
                                     (i - (height - 1) / 2.0) * directions[static_cast<size_t>(2 * q + 1)];
                const double weight = std::max(0.0, 1 - std::fabs(along - (k - (detectors - 1) / 2.0)));
                const auto ray = static_cast<size_t>(((image * angles + q) * detectors + k) * channels + c);
                const auto pixel = static_cast<size_t>(((image * height + i) * width + j) * channels + c);
                forward[ray] += weight * x[pixel];
                back[pixel] += weight * r[ray];
              }
    DeviceArray<float> from(stream, x), to(stream, rays), given(stream, r), made(stream, pixels);
    radon(stream, to, from, shape, n);
    radon_adjoint(stream, made, given, shape, n);
    // A weight errs by a few roundings of a distance of up to 8; a sum has at most 27 terms of size 4 or less.
    const double allowed = 27 * 4 * (3 * 8 + 27) * kRoundFloat;
    expect_close("H x", to.values(), forward, 0, allowed);
    expect_close("H^T r", made.values(), back, 0, allowed);
  }
}

}  // namespace
}  // namespace ito::test
