// SPDX-License-Identifier: Apache-2.0
// The polynomials that multistep rules integrate: slopes known at a few levels, and a curve through them.
#pragma once
#include <cstddef>
#include <vector>

namespace ito {

// Coefficients of 1, u, u^2, ... of the polynomial that is 1 at nodes[i] and 0 at the other nodes, which are distinct.
std::vector<double> lagrange_polynomial(const std::vector<double>& nodes, size_t i);

// The integrals of all these polynomials from 0 to h: what each slope adds to a step of length h that begins at 0
// (Adams and Bashforth's weights, for uneven nodes too).
std::vector<double> integrated_polynomials(const std::vector<double>& nodes, double h);

}  // namespace ito
