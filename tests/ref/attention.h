// SPDX-License-Identifier: Apache-2.0
// Attention and its gradients in fp64 with the whole softmax matrix, definitions as in kernels/seams/attention.h.
// Beside each result its magnitude: the sum of the absolute values of the terms that a kernel adds up to get there.
#pragma once
#include <cmath>
#include <vector>

#include "kernels/seams/attention.h"

namespace ito::ref {

struct AttentionForward {
  std::vector<double> out, lse;       // (N, tokens, heads * D), (N, heads, tokens)
  std::vector<double> probabilities;  // (N, heads, tokens, tokens)
  std::vector<double> out_magnitude;
  double logit_magnitude = 0;  // the largest of any logit
};

struct AttentionGradients {
  std::vector<double> dq, dk, dv, dq_magnitude, dk_magnitude, dv_magnitude;
};

struct AttentionIndex {
  const AttentionShape& s;
  size_t token(int n, int h, int t) const { return ((size_t(n) * s.tokens + t) * s.heads + h) * s.head_dim; }
  size_t row(int n, int h, int t) const { return (size_t(n) * s.heads + h) * s.tokens + t; }
};

inline AttentionForward attention_forward(const std::vector<double>& q, const std::vector<double>& k,
                                          const std::vector<double>& v, const AttentionShape& s) {
  const AttentionIndex at{s};
  AttentionForward r;
  r.out.assign(q.size(), 0.0);
  r.out_magnitude.assign(q.size(), 0.0);
  r.lse.resize(size_t(s.n) * s.heads * s.tokens);
  r.probabilities.resize(r.lse.size() * s.tokens);
  for (int n = 0; n < s.n; ++n) {
    for (int h = 0; h < s.heads; ++h) {
      for (int i = 0; i < s.tokens; ++i) {
        double* p = &r.probabilities[at.row(n, h, i) * s.tokens];
        double top = -INFINITY, sum = 0;
        for (int j = 0; j < s.tokens; ++j) {
          double size = 0;
          p[j] = 0;
          for (int d = 0; d < s.head_dim; ++d) {
            const double term = s.scale * q[at.token(n, h, i) + d] * k[at.token(n, h, j) + d];
            p[j] += term;
            size += std::fabs(term);
          }
          r.logit_magnitude = std::max(r.logit_magnitude, size);
          top = std::max(top, p[j]);
        }
        for (int j = 0; j < s.tokens; ++j) sum += p[j] = std::exp(p[j] - top);
        r.lse[at.row(n, h, i)] = top + std::log(sum);
        for (int j = 0; j < s.tokens; ++j) {
          p[j] /= sum;
          for (int d = 0; d < s.head_dim; ++d) {
            r.out[at.token(n, h, i) + d] += p[j] * v[at.token(n, h, j) + d];
            r.out_magnitude[at.token(n, h, i) + d] += p[j] * std::fabs(v[at.token(n, h, j) + d]);
          }
        }
      }
    }
  }
  return r;
}

inline AttentionGradients attention_backward(const std::vector<double>& dout, const std::vector<double>& q,
                                             const std::vector<double>& k, const std::vector<double>& v,
                                             const AttentionShape& s) {
  const AttentionIndex at{s};
  const AttentionForward f = attention_forward(q, k, v, s);
  AttentionGradients g;
  for (auto* values : {&g.dq, &g.dk, &g.dv, &g.dq_magnitude, &g.dk_magnitude, &g.dv_magnitude})
    values->assign(q.size(), 0.0);
  for (int n = 0; n < s.n; ++n) {
    for (int h = 0; h < s.heads; ++h) {
      for (int i = 0; i < s.tokens; ++i) {
        const double* p = &f.probabilities[at.row(n, h, i) * s.tokens];
        std::vector<double> dp(s.tokens, 0.0), dp_size(s.tokens, 0.0);
        double mean = 0, mean_size = 0;  // sum_j p_j dp_j: the softmax's own Jacobian, not through out
        for (int j = 0; j < s.tokens; ++j) {
          for (int d = 0; d < s.head_dim; ++d) {
            const double term = dout[at.token(n, h, i) + d] * v[at.token(n, h, j) + d];
            dp[j] += term;
            dp_size[j] += std::fabs(term);
          }
          mean += p[j] * dp[j];
          mean_size += p[j] * dp_size[j];
        }
        for (int j = 0; j < s.tokens; ++j) {
          const double ds = s.scale * p[j] * (dp[j] - mean), ds_size = s.scale * p[j] * (dp_size[j] + mean_size);
          for (int d = 0; d < s.head_dim; ++d) {
            g.dq[at.token(n, h, i) + d] += ds * k[at.token(n, h, j) + d];
            g.dk[at.token(n, h, j) + d] += ds * q[at.token(n, h, i) + d];
            g.dv[at.token(n, h, j) + d] += p[j] * dout[at.token(n, h, i) + d];
            g.dq_magnitude[at.token(n, h, i) + d] += ds_size * std::fabs(k[at.token(n, h, j) + d]);
            g.dk_magnitude[at.token(n, h, j) + d] += ds_size * std::fabs(q[at.token(n, h, i) + d]);
            g.dv_magnitude[at.token(n, h, j) + d] += p[j] * std::fabs(dout[at.token(n, h, i) + d]);
          }
        }
      }
    }
  }
  return g;
}

}  // namespace ito::ref
