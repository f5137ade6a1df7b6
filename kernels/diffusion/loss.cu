// SPDX-License-Identifier: Apache-2.0
// Mean squared error with its gradient, in one pass (formulas in the header). eps is drawn again from the counter by
// the very function that add_noise uses. A block owns an image, so its loss is one sum whose order depends on
// image_size alone: four squares in fp32, then double. What a row does not weigh is neither drawn nor read, by branches
// that a whole block takes alike. Bytes an element: pred read, dpred written, x0 read except where target_x0 is 0.
// Refused: partial sums over parts of an image (a second launch, for a kernel that is philox bound).
#include "kernels/diffusion/loss.h"

#include "dialect.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

constexpr int kLossThreads = 512;

template <class T, bool Wide>
KERNEL void squared_loss_kernel(float* loss, T* dpred, const T* pred, const float* x0, const ForwardRow* rows,
                                SampleCounter counter, int64_t image_size, float gradient_scale, int wide_channels) {
  const int64_t image = blockIdx.x;
  const SampleDraws draws = sample_draws(counter, image);
  const ForwardRow row = rows[image];
  const float p = row.target_x0, q = row.target_eps, r = row.target_eps2, scale = row.weight * gradient_scale;
  double sum = 0.0;

  const auto quad_loss = [&](int64_t quad, auto width) {
    const int64_t at = image * image_size + 4 * quad;
    Normal4 eps = {};
    float target[4] = {}, square[4] = {};
    if (q != 0) eps = sample_noise(draws, quad);
    if (p != 0)
      for (int j = 0; j < width; ++j) target[j] = p * x0[at + j];
    for (int j = 0; j < width; ++j) target[j] = fmaf(q, eps.v[j], target[j]);
    if (r != 0) {
      const Normal4 eps2 = quad_normals(draws, quad, purpose_word(Purpose::SecondNoise));
      for (int j = 0; j < width; ++j) target[j] = fmaf(r, eps2.v[j], target[j]);
    }
    for (int j = 0; j < width; ++j) {
      int64_t to = at + j;
      if constexpr (Wide) to += (to / wide_channels) * wide_channels;
      const float error = to_float(pred[to]) - target[j];
      square[j] = error * error;
      if (dpred) dpred[to] = from_float<T>(scale * error);
    }
    sum += static_cast<double>((square[0] + square[1]) + (square[2] + square[3]));
  };
  BLOCK_LOOP(quad, image_size / 4) quad_loss(quad, FullQuad{});
  if (image_size % 4 != 0 && threadIdx.x == 0) quad_loss(image_size / 4, static_cast<int>(image_size % 4));

  const double total = block_sum(sum);
  if (threadIdx.x == 0) loss[image] = static_cast<float>(row.weight * total / static_cast<double>(image_size));
}

}  // namespace

void squared_loss(Stream& stream, float* loss, DataRef dpred, ConstDataRef pred, const float* x0,
                  const ForwardRow* rows, const SampleCounter& counter, int n, int64_t image_size, int batch,
                  int wide_channels) {
  ITO_CHECK(n >= 0 && image_size > 0 && batch >= n, "squared_loss: N ", n, ", image size ", image_size, ", batch ",
            batch, ", expected positive sizes and a batch of at least N");
  ITO_CHECK(!dpred || dpred.type == pred.type, "squared_loss: dpred is ", name_of(dpred.type), " and pred ",
            name_of(pred.type), ", expected one type");
  ITO_CHECK(wide_channels >= 0 && (wide_channels == 0 || image_size % wide_channels == 0),
            "squared_loss: ", wide_channels, " channels in images of ", image_size,
            " numbers, expected a divisor, or 0");
  const float gradient_scale = static_cast<float>(2.0 / (static_cast<double>(image_size) * batch));
  by_type(pred.type, [&](auto tag) {
    using T = decltype(tag);
    T* gradient = dpred ? dpred.as<T>() : nullptr;
    if (wide_channels == 0)
      launch<squared_loss_kernel<T, false>>("squared_loss", Dim3(n), kLossThreads, 0, stream, loss, gradient,
                                            pred.as<T>(), x0, rows, counter, image_size, gradient_scale, 0);
    else
      launch<squared_loss_kernel<T, true>>("squared_loss", Dim3(n), kLossThreads, 0, stream, loss, gradient,
                                           pred.as<T>(), x0, rows, counter, image_size, gradient_scale, wide_channels);
  });
}

}  // namespace ito
