// SPDX-License-Identifier: Apache-2.0
// See the header. Independent elements: 4 bytes each of eight operands read and four written, and pred.
#include "kernels/inverse/red_diff.h"

#include "dialect.h"

namespace ito {
namespace {

template <class T>
DEVICE void red_diff_item(int64_t i, RedDiffState state, const T* pred, bool wide, const float* eps,
                          const float* next_eps, const float* data, float data_weight, const ReverseRow* rows,
                          const RedDiffRow* steps, const int64_t* row, int c) {
  const ReverseRow& k = rows[*row];
  const RedDiffRow step = steps[*row];
  const float answer = to_float(pred[wide ? i + i / c * c : i]), x = state.x[i];
  float d = fmaf(k.x0_from_pred, answer, k.x0_from_x * x);
  if (k.clip > 0.0f) d = fminf(fmaxf(d, -k.clip), k.clip);
  const float e = fmaf(k.eps_from_x0, d, fmaf(k.eps_from_pred, answer, k.eps_from_x * x));
  const float gradient = fmaf(step.score, e - eps[i], -data_weight * data[i]);
  const float first = fmaf(kRedDiffBeta1, state.first[i], (1.0f - kRedDiffBeta1) * gradient);
  const float second = fmaf(kRedDiffBeta2, state.second[i], (1.0f - kRedDiffBeta2) * gradient * gradient);
  const float mu = state.mu[i] - step.rate * first / (sqrtf(second) + step.epsilon);
  state.first[i] = first;
  state.second[i] = second;
  state.mu[i] = mu;
  state.x[i] = fmaf(step.next_alpha, mu, step.next_sigma * next_eps[i]);
}

DEVICE void clip_item(int64_t i, float* x, float bound) {
  x[i] = fminf(fmaxf(x[i], -bound), bound);
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

void clip_start(Stream& stream, float* x, float bound, int64_t count) {
  ITO_CHECK(x && bound > 0 && count >= 0, "clip_start: ", count, " numbers to +-", bound);
  for_each<clip_item>("clip_start", count, stream, x, bound);
}

void red_diff_step(Stream& stream, const RedDiffState& state, const RedDiffInputs& in, int n, int pixels, int c) {
  ITO_CHECK(n >= 0 && pixels > 0 && c > 0, "red_diff_step: N ", n, ", pixels ", pixels, ", C ", c,
            ", expected positive sizes");
  by_type(in.pred.type, [&](auto tag) {
    using T = decltype(tag);
    for_each<red_diff_item<T>>("red_diff_step", int64_t{n} * pixels * c, stream, state, in.pred.as<T>(), in.wide,
                               in.eps, in.next_eps, in.data, in.data_weight, in.rows, in.steps, in.row, c);
  });
}

}  // namespace ito
