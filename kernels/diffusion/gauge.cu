// SPDX-License-Identifier: Apache-2.0
// Two numbers an image from the whole image (formulas in the header). Block = image, so that an image's bits do not
// know its batch.
// The quantile is found bit by bit: magnitudes order as their bit patterns do, so 31 counts of the patterns below a
// candidate give an order statistic exactly, without a sort, atomics or scratch, and one more pass its successor. The
// image stays in cache: bytes an element are x 4 and pred, once from memory. Refused: histograms of 8 bits, four passes
// whose shared atomics nearly all hit the few exponents of a picture.
// Norms are sums of squares in double, four at a time in fp32.
#include "kernels/diffusion/gauge.h"

#include "dialect.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

constexpr int kGaugeThreads = 512;

// The row's estimates, one element at a time, as reverse_row forms them.
template <class T>
struct ImageEstimates {
  const float* x;
  const T* pred;
  bool wide;
  int c;
  float x0_from_x, x0_from_pred, clip, eps_from_x, eps_from_pred, eps_from_x0;

  DEVICE float answer(int64_t i) const { return to_float(pred[wide ? i + i / c * c : i]); }
  DEVICE float x0(int64_t i) const { return fmaf(x0_from_pred, answer(i), x0_from_x * x[i]); }
  DEVICE float eps(int64_t i) const {
    const float network = answer(i);
    float d = fmaf(x0_from_pred, network, x0_from_x * x[i]);
    if (clip > 0.0f) d = fminf(fmaxf(d, -clip), clip);
    return fmaf(eps_from_x0, d, fmaf(eps_from_pred, network, eps_from_x * x[i]));
  }
};

// How many |x0| have a bit pattern below `bits`.
template <class T>
DEVICE int count_below(const ImageEstimates<T>& image, int size, int32_t bits) {
  int count = 0;
  BLOCK_LOOP(i, size) count += bits_from_float(fabsf(image.x0(i))) < bits ? 1 : 0;
  return block_sum(count);
}

// The order statistic of |x0| at position ratio (size - 1), between two of them linearly.
template <class T>
DEVICE float quantile_of_magnitude(const ImageEstimates<T>& image, int size, float ratio) {
  const double position = static_cast<double>(ratio) * (size - 1);
  const int rank = static_cast<int>(position);
  int32_t bits = 0;
  for (int bit = 30; bit >= 0; --bit) {
    const int32_t candidate = bits | int32_t{1} << bit;
    if (count_below(image, size, candidate) <= rank) bits = candidate;
  }
  const float low = float_from_bits(bits);
  const bool level = rank + 1 >= size || count_below(image, size, bits + 1) > rank + 1;  // the next one is the same
  float nearest = -float_from_bits(0x7F800000);  // of the negatives, for the dialect has a maximum only
  BLOCK_LOOP(i, size) {
    const float magnitude = fabsf(image.x0(i));
    if (magnitude > low) nearest = fmaxf(nearest, -magnitude);
  }
  const float high = -block_max(nearest);
  return level ? low : fmaf(static_cast<float>(position - rank), high - low, low);
}

template <class T>
KERNEL void gauge_kernel(float* gauges, const float* x, const T* pred, bool wide, const ReverseRow* rows,
                         const int64_t* row, SampleCounter counter, int64_t images, int size, int c) {
  const int64_t number = blockIdx.x;
  const ReverseRow& k = rows[*row];
  const ImageEstimates<T> image = {.x = x + number * size,
                                   .pred = pred + number * size * (wide ? 2 : 1),
                                   .wide = wide,
                                   .c = c,
                                   .x0_from_x = k.x0_from_x,
                                   .x0_from_pred = k.x0_from_pred,
                                   .clip = k.clip,
                                   .eps_from_x = k.eps_from_x,
                                   .eps_from_pred = k.eps_from_pred,
                                   .eps_from_x0 = k.eps_from_x0};
  float first = 0.0f, second = 0.0f;
  if (k.gauge == Gauge::Quantile) {
    first = fminf(fmaxf(quantile_of_magnitude(image, size, k.gauge_ratio), 1.0f), k.gauge_most);
  } else if (k.gauge == Gauge::Langevin) {
    SampleDraws draws = sample_draws(counter, number);
    draws.step = static_cast<uint32_t>(k.draw);
    double noise = 0.0, slope = 0.0;
    const float* given = counter.given ? counter.given + (k.draw * images + number) * size : nullptr;
    BLOCK_LOOP(quad, ceil_div(size, 4)) {
      Normal4 z = {};
      if (!given) z = quad_normals(draws, quad, purpose_word(Purpose::ReverseNoise));
      for (int j = 0; j < 4; ++j) {
        const int64_t i = 4 * int64_t{quad} + j;
        if (i >= size) break;
        const double e = image.eps(i), v = given ? given[i] : z.v[j];
        noise += v * v;
        slope += e * e;
      }
    }
    const double ratio = k.gauge_ratio, sigma = k.sigma;
    const double step = 2.0 * k.gauge_most * ratio * ratio * sigma * sigma * block_sum(noise) / block_sum(slope);
    first = static_cast<float>(step);
    second = static_cast<float>(sqrt(2.0 * step));
  }
  if (k.gauge != Gauge::None && threadIdx.x == 0) {
    gauges[2 * number] = first;
    gauges[2 * number + 1] = second;
  }
}

}  // namespace

void measure_gauges(Stream& stream, float* gauges, const float* x, ConstDataRef pred, bool wide, const ReverseRow* rows,
                    const int64_t* row, const SampleCounter& counter, int n, int pixels, int c) {
  ITO_CHECK(n >= 0 && pixels > 0 && c > 0 && int64_t{pixels} * c < int64_t{1} << 31, "measure_gauges: N ", n,
            ", pixels ", pixels, ", C ", c, ", expected positive sizes and fewer than 2^31 elements an image");
  ITO_CHECK(gauges && rows && row, "measure_gauges: gauges, the table or the row is null");
  by_type(pred.type, [&](auto tag) {
    using T = decltype(tag);
    launch<gauge_kernel<T>>("measure_gauges", Dim3(n), kGaugeThreads, 0, stream, gauges, x, pred.as<T>(), wide, rows,
                            row, counter, int64_t{n}, pixels * c, c);
  });
}

}  // namespace ito
