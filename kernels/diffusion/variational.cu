// SPDX-License-Identifier: Apache-2.0
// Terms of the bound in one pass (formulas in the header). Block = image, so a term is one sum whose order depends on
// the image's size alone. All in double: a term of a late timestep is a ten-thousandth of a nat, a difference of
// numbers near 1, and the kernel moves a few bytes an element of the input, where a network's layers move hundreds. eps
// is drawn again by the function that add_noise uses. Bytes an element: pred read, both halves where wide; x0 read; the
// gradient's halves written.
#include "kernels/diffusion/variational.h"

#include "dialect.h"
#include "kernels/dialect/double_math.h"
#include "kernels/random/draws.cuh"

namespace ito {
namespace {

constexpr int kThreads = 256;
constexpr double kHalfByte = 1.0 / 255, kLogRootTwoPi = 0.9189385332046727;

// n.v[j] by selection: the loop over j is too long to be unrolled, and a changing index would put n into local memory.
DEVICE float pick(const Normal4& n, int j) {
  return j < 2 ? (j == 0 ? n.v[0] : n.v[1]) : (j == 2 ? n.v[2] : n.v[3]);
}

// A term of a number, and its derivatives by d and by l.
struct Term {
  double value, by_d, by_l;
};

// Phi(-t) / phi(t) for t >= 0, relative error below 1e-12: near 0 by the series of Phi(t) - 1/2, whose terms are all
// positive; further out by Laplace's continued fraction.
DEVICE double mills_ratio(double t) {
  if (t > 3.0) {
    double r = t;
    for (int k = 72; k >= 1; --k) r = t + k / r;
    return 1.0 / r;
  }
  double term = t, sum = t;
  for (int k = 1; k <= 48; ++k) {
    term *= t * t / (2 * k + 1);
    sum += term;
  }
  return 0.5 * double_exp(0.5 * t * t + kLogRootTwoPi) - sum;
}

// ln(Phi(high) - Phi(low)), each end open or not.
DEVICE double log_normal_between(double low, double high, bool open_low, bool open_high) {
  if (open_low && open_high) return 0.0;
  if (open_high || (!open_low && low + high < 0.0)) {  // Phi(-t) = 1 - Phi(t): the nearer end comes first
    const double t = low;
    const bool open = open_low;
    low = -high, high = -t;
    open_low = open_high, open_high = open;
  }
  if (open_low) {  // ln Phi(high)
    if (high <= 0.0) return double_log(mills_ratio(-high)) - 0.5 * high * high - kLogRootTwoPi;
    return double_log(1.0 - mills_ratio(high) * double_exp(-0.5 * high * high - kLogRootTwoPi));
  }
  const double far = mills_ratio(high);
  if (low >= 0.0)
    return double_log(mills_ratio(low) - far * double_exp(-0.5 * (high - low) * (high + low))) - 0.5 * low * low -
           kLogRootTwoPi;
  return double_log(1.0 - mills_ratio(-low) * double_exp(-0.5 * low * low - kLogRootTwoPi) -
                    far * double_exp(-0.5 * high * high - kLogRootTwoPi));
}

DEVICE Term byte_term(double d, double l, float x0) {
  const double scale = double_exp(-0.5 * l), low = (d - kHalfByte) * scale, high = (d + kHalfByte) * scale;
  const bool black = x0<-0.999f, white = x0> 0.999f;
  const double log_share = log_normal_between(low, high, black, white);
  const double at_low = black ? 0.0 : double_exp(-0.5 * low * low - kLogRootTwoPi - log_share);
  const double at_high = white ? 0.0 : double_exp(-0.5 * high * high - kLogRootTwoPi - log_share);
  const double carried = (d - d) + (l - l);  // 0, or NaN: double_log makes a number of anything
  return {carried - log_share, (at_low - at_high) * scale, 0.5 * (high * at_high - low * at_low)};
}

DEVICE Term term_of(const VariationalRow& row, double d, double l, float x0) {
  if (row.term == BoundTerm::Bytes) return byte_term(d, l, x0);
  const double precision = double_exp(-l), square = d * d * precision;
  if (row.term == BoundTerm::Density) return {0.5 * (square + l) + kLogRootTwoPi, d * precision, 0.5 * (1.0 - square)};
  const double apart = row.true_log_variance - l, ratio = double_exp(apart);
  return {0.5 * (ratio - 1.0 - apart + square), d * precision, 0.5 * (1.0 - ratio - square)};
}

template <class T>
KERNEL void variational_terms_kernel(double* terms, float* loss, const float* squared, T* dpred, bool of_mean,
                                     double factor, double gradient_scale, const T* pred, bool wide, const float* x0,
                                     const ForwardRow* rows, const VariationalRow* table, SampleCounter counter,
                                     int size, int c) {
  const int64_t image = blockIdx.x;
  const SampleDraws draws = sample_draws(counter, image);
  const ForwardRow forward = rows[image];
  const VariationalRow row = table[forward.level];
  const double scale = factor * static_cast<double>(forward.scale), gradient = gradient_scale * scale;
  const double d_by_pred = row.from_d * row.x0_from_pred + row.from_pred;
  double sum = 0.0;
  BLOCK_LOOP(quad, ceil_div(size, 4)) {
    const Normal4 eps = sample_noise(draws, quad);
    Normal4 eps2 = {};
    if (forward.eps2 != 0.0f) eps2 = quad_normals(draws, quad, purpose_word(Purpose::SecondNoise));
    for (int j = 0; j < 4; ++j) {
      const int64_t i = 4 * quad + j;
      if (i >= size) break;
      const float data = x0[image * size + i];
      const int64_t at = wide ? image * size * 2 + i + i / c * c : image * size + i;
      const double answer = static_cast<double>(to_float(pred[at]));
      const double x =
          static_cast<double>(fmaf(forward.eps2, pick(eps2, j), fmaf(forward.x0, data, forward.eps * pick(eps, j))));
      double estimate = fma(row.x0_from_pred, answer, row.x0_from_x * x);
      if (row.clip > 0.0) estimate = estimate > row.clip ? row.clip : estimate < -row.clip ? -row.clip : estimate;
      const double d = fma(row.from_pred, answer,
                           fma(row.from_x, x, fma(row.from_d, estimate, row.from_x0 * static_cast<double>(data))));
      double l = row.log_variance;
      if (row.span != 0.0) l = fma(row.span, 0.5 * (static_cast<double>(to_float(pred[at + c])) + 1.0), l);
      const Term term = term_of(row, d, l, data);
      sum += term.value;
      if (!dpred) continue;
      if (of_mean) dpred[at] = from_float<T>(static_cast<float>(gradient * term.by_d * d_by_pred));
      if (wide) dpred[at + c] = from_float<T>(static_cast<float>(gradient * term.by_l * row.span * 0.5));
    }
  }
  const double total = block_sum(sum) / size;
  if (threadIdx.x != 0) return;
  if (terms) terms[image] = total;
  if (loss) loss[image] = static_cast<float>((squared ? static_cast<double>(squared[image]) : 0.0) + scale * total);
}

}  // namespace

void variational_terms(Stream& stream, double* terms, const VariationalLoss& training, ConstDataRef pred, bool wide,
                       const float* x0, const ForwardRow* rows, const VariationalRow* table,
                       const SampleCounter& counter, int n, int pixels, int c) {
  ITO_CHECK(n >= 0 && pixels > 0 && c > 0 && int64_t{pixels} * c < int64_t{1} << 30, "variational_terms: N ", n,
            ", pixels ", pixels, ", C ", c, ", expected positive sizes and fewer than 2^30 numbers an image");
  ITO_CHECK(!training.dpred || training.dpred.type == pred.type, "variational_terms: dpred is ",
            name_of(training.dpred.type), " and pred ", name_of(pred.type), ", expected one type");
  ITO_CHECK(training.batch >= 1, "variational_terms: batch ", training.batch, ", expected 1 or more");
  const int size = pixels * c;
  const double gradient_scale = 1.0 / (static_cast<double>(size) * training.batch);
  by_type(pred.type, [&](auto tag) {
    using T = decltype(tag);
    launch<variational_terms_kernel<T>>("variational_terms", Dim3(n), kThreads, 0, stream, terms, training.loss,
                                        training.squared, training.dpred ? training.dpred.as<T>() : nullptr,
                                        training.of_mean, training.factor, gradient_scale, pred.as<T>(), wide, x0, rows,
                                        table, counter, size, c);
  });
}

}  // namespace ito
