// SPDX-License-Identifier: Apache-2.0
// Noising, target, loss and its gradient by the rows of the images, as plain fp64 loops.
#pragma once
#include <cmath>
#include <vector>

#include "kernels/diffusion/forward_row.h"

namespace ito::ref {

using Values = std::vector<double>;

struct ForwardCase {
  Values x0, eps, eps2;          // (N, image_size)
  std::vector<ForwardRow> rows;  // (N)
  int64_t image_size;
  int batch;

  const ForwardRow& row_of(size_t i) const { return rows[i / static_cast<size_t>(image_size)]; }
};

inline double noised(const ForwardCase& s, size_t i) {
  const ForwardRow& row = s.row_of(i);
  return row.x0 * s.x0[i] + row.eps * s.eps[i] + row.eps2 * s.eps2[i];
}

inline double target(const ForwardCase& s, size_t i) {
  const ForwardRow& row = s.row_of(i);
  return row.target_x0 * s.x0[i] + row.target_eps * s.eps[i] + row.target_eps2 * s.eps2[i];
}

inline Values loss(const Values& pred, const ForwardCase& s) {
  Values out(s.rows.size(), 0.0);
  for (size_t i = 0; i < pred.size(); ++i) {
    const double error = pred[i] - target(s, i);
    out[i / s.image_size] += s.row_of(i).weight * error * error / static_cast<double>(s.image_size);
  }
  return out;
}

inline Values loss_gradient(const Values& pred, const ForwardCase& s) {
  Values out(pred.size());
  for (size_t i = 0; i < pred.size(); ++i)
    out[i] = 2 * s.row_of(i).weight / (static_cast<double>(s.image_size) * s.batch) * (pred[i] - target(s, i));
  return out;
}

}  // namespace ito::ref
