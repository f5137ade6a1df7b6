// SPDX-License-Identifier: Apache-2.0
// Mean squared error against eps, x0 or v (formulas in the header), with its gradient, in one pass. eps is drawn again
// from the counter by the very function add_noise uses.
// A block owns an image, so its loss is one sum whose order depends on `row` alone: four squares in fp32, then double.
// Bytes an element: pred read, dpred written, x0 read except for the eps target.
// Refused: partial sums over parts of an image (a second launch, for a kernel that is philox bound).
#include "kernels/diffusion/loss.h"

#include "dialect.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

constexpr int kLossThreads = 512;

template <class T, Prediction kTarget>
KERNEL void diffusion_loss_kernel(float* loss, T* dpred, const T* pred, const float* x0, const int32_t* t,
                                  SampleCounter counter, NoiseTables tables, const float* weight, int64_t row,
                                  float gradient_scale) {
  const int64_t image = blockIdx.x;
  const SampleDraws draws = sample_draws(counter, image);
  const int step = t[image];
  const float signal = tables.sqrt_abar[step], noise = tables.sqrt_one_minus_abar[step];
  const float w = weight ? weight[step] : 1.0f;
  const float scale = w * gradient_scale;
  double sum = 0.0;

  const auto quad_loss = [&](int64_t quad, auto width) {
    [[maybe_unused]] Normal4 eps = {};
    if constexpr (kTarget != Prediction::Sample) eps = sample_noise(draws, quad);
    const int64_t at = image * row + 4 * quad;
    float square[4] = {};
    for (int j = 0; j < width; ++j) {
      float target;
      if constexpr (kTarget == Prediction::Epsilon)
        target = eps.v[j];
      else if constexpr (kTarget == Prediction::Sample)
        target = x0[at + j];
      else
        target = fmaf(signal, eps.v[j], -noise * x0[at + j]);
      const float error = to_float(pred[at + j]) - target;
      square[j] = error * error;
      if (dpred) dpred[at + j] = from_float<T>(scale * error);
    }
    sum += static_cast<double>((square[0] + square[1]) + (square[2] + square[3]));
  };
  BLOCK_LOOP(quad, row / 4) quad_loss(quad, FullQuad{});
  if (row % 4 != 0 && threadIdx.x == 0) quad_loss(row / 4, static_cast<int>(row % 4));

  const double total = block_sum(sum);
  if (threadIdx.x == 0) loss[image] = static_cast<float>(w * total / static_cast<double>(row));
}

}  // namespace

void diffusion_loss(Stream& stream, float* loss, DataRef dpred, ConstDataRef pred, const float* x0, const int32_t* t,
                    const SampleCounter& counter, const NoiseTables& tables, const float* weight, Prediction prediction,
                    int n, int64_t row, int batch) {
  ITO_CHECK(n >= 0 && row > 0 && batch >= n, "diffusion_loss: N ", n, ", row ", row, ", batch ", batch,
            ", expected positive sizes and a batch of at least N");
  ITO_CHECK(!dpred || dpred.type == pred.type, "diffusion_loss: dpred is ", name_of(dpred.type), " and pred ",
            name_of(pred.type), ", expected one type");
  ITO_CHECK(tables.sqrt_abar && tables.sqrt_one_minus_abar && tables.steps > 0,
            "diffusion_loss: the noise tables are not set (T = ", tables.steps, ")");
  const float gradient_scale = static_cast<float>(2.0 / (static_cast<double>(row) * batch));
  by_type(pred.type, [&](auto tag) {
    using T = decltype(tag);
    T* gradient = dpred ? dpred.as<T>() : nullptr;
    const auto run = [&]<Prediction kTarget>() {
      launch<diffusion_loss_kernel<T, kTarget>>("diffusion_loss", Dim3(n), kLossThreads, 0, stream, loss, gradient,
                                                pred.as<T>(), x0, t, counter, tables, weight, row, gradient_scale);
    };
    switch (prediction) {
      case Prediction::Epsilon:
        return run.template operator()<Prediction::Epsilon>();
      case Prediction::Sample:
        return run.template operator()<Prediction::Sample>();
      case Prediction::V:
        return run.template operator()<Prediction::V>();
    }
  });
}

}  // namespace ito
