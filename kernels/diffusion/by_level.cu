// SPDX-License-Identifier: Apache-2.0
// Sums by level (formulas in the header). accumulate: one item a level, which looks through the step's images in their
// order, so that the sums do not depend on how they were cut into passes; a step has a few hundred images, and a
// thousand items read their levels from cache. moments: block = image, sums in double whose order depends on the
// image's size alone. Refused: an item an image with atomic additions in double, whose order is nobody's.
#include "kernels/diffusion/by_level.h"

#include "dialect.h"
#include "kernels/dialect/double_math.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

constexpr int kMomentThreads = 512;

DEVICE void accumulate_item(int64_t level, double* sums, const float* loss, const ForwardRow* rows, int n,
                            double decay) {
  double count = sums[2 * level], sum = sums[2 * level + 1];
  for (int i = 0; i < n; ++i) {
    if (rows[i].level != level) continue;
    const double error = static_cast<double>(loss[i]) / static_cast<double>(rows[i].weight);
    if (!is_finite(error)) continue;
    count = decay * count + 1.0;
    sum = decay * sum + error;
  }
  sums[2 * level] = count;
  sums[2 * level + 1] = sum;
}

template <class T>
KERNEL void level_moments_kernel(double* moments, const T* pred, bool wide, const float* x0, const ForwardRow* rows,
                                 const MomentRow* moment_rows, SampleCounter counter, int size, int c) {
  const int64_t image = blockIdx.x;
  const SampleDraws draws = sample_draws(counter, image);
  const ForwardRow row = rows[image];
  const MomentRow read = moment_rows[image];
  const bool second = row.eps2 != 0.0f || row.target_eps2 != 0.0f;
  double error = 0.0, product = 0.0, square = 0.0;
  BLOCK_LOOP(quad, ceil_div(size, 4)) {
    const Normal4 eps = sample_noise(draws, quad);
    Normal4 eps2 = {};
    if (second) eps2 = quad_normals(draws, quad, purpose_word(Purpose::SecondNoise));
    for (int j = 0; j < 4; ++j) {
      const int64_t i = 4 * quad + j;
      if (i >= size) break;
      const float data = x0[image * size + i];
      const float answer = to_float(pred[wide ? image * size * 2 + i + i / c * c : image * size + i]);
      const float state = fmaf(row.eps2, eps2.v[j], fmaf(row.eps, eps.v[j], row.x0 * data));
      const float target = fmaf(row.target_eps2, eps2.v[j], fmaf(row.target_eps, eps.v[j], row.target_x0 * data));
      const double off = static_cast<double>(target) - answer;
      const double estimate =
          static_cast<double>(read.x0_from_x) * state + static_cast<double>(read.x0_from_pred) * answer;
      const double mean = static_cast<double>(read.mean_from_x0) * data + static_cast<double>(read.mean_from_x) * state;
      error += off * off;
      product += (mean - estimate) * (state - estimate);
      square += (state - estimate) * (state - estimate);
    }
  }
  const double totals[3] = {block_sum(error), block_sum(product), block_sum(square)};
  if (threadIdx.x == 0)
    for (int k = 0; k < 3; ++k) moments[3 * image + k] = totals[k] / size;
}

}  // namespace

void accumulate_by_level(Stream& stream, double* sums, int levels, const float* loss, const ForwardRow* rows, int n,
                         double decay) {
  ITO_CHECK(levels > 0 && n >= 0, "accumulate_by_level: ", levels, " levels, N ", n, ", expected positive sizes");
  ITO_CHECK(decay >= 0 && decay <= 1, "accumulate_by_level: decay ", decay, ", expected 0 to 1");
  for_each<accumulate_item>("accumulate_by_level", levels, stream, sums, loss, rows, n, decay);
}

void level_moments(Stream& stream, double* moments, ConstDataRef pred, bool wide, const float* x0,
                   const ForwardRow* rows, const MomentRow* moment_rows, const SampleCounter& counter, int n,
                   int pixels, int c) {
  ITO_CHECK(n >= 0 && pixels > 0 && c > 0 && int64_t{pixels} * c < int64_t{1} << 31, "level_moments: N ", n,
            ", pixels ", pixels, ", C ", c, ", expected positive sizes and fewer than 2^31 elements an image");
  by_type(pred.type, [&](auto tag) {
    using T = decltype(tag);
    launch<level_moments_kernel<T>>("level_moments", Dim3(n), kMomentThreads, 0, stream, moments, pred.as<T>(), wide,
                                    x0, rows, moment_rows, counter, pixels * c, c);
  });
}

}  // namespace ito
