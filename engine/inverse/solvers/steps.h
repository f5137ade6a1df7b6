// SPDX-License-Identifier: Apache-2.0
// The unconditional step that most solvers go around, and walks that go back to noise in between.
#pragma once
#include <vector>

#include "engine/inverse/solver.h"

namespace ito {

// Of a step from level a to a less noisy b (Song, Meng and Ermon 2021, eq. 12, 16):
//   x' = sqrt(b) D + eps e + noise z,  noise = eta sqrt((1 - b) / (1 - a) (1 - a / b)),  eps = sqrt(1 - b - noise^2)
struct DdimStep {
  double eps, noise;
};
DdimStep ddim_step(const Level& from, const Level& to, double eta);

// A row of it. Its draw is counted, also where it is not used.
void add_ddim_step(RowBuilder& rows, const Level& from, const Level& to, double eta);
// Opens a row whose eps is the noise that goes with its estimate, a clipped one too.
void add_estimate(RowBuilder& rows, const Level& level);
// A row that only asks the network, for solvers that update the state themselves.
void add_call(RowBuilder& rows, const Level& level);

// Nodes from noise to data, visited in RePaint's order (Lugmayr et al. 2022, algorithm 1): a move down from node `from`
// to the next one, then a climb up to node `to`, which is the next one where there is none. States are numbered from
// the data on; on reaching one of 0, L, 2 L, ... below K - L the walk climbs L states and comes down again, visits - 1
// times.
struct Move {
  int from, to;
};
std::vector<Move> resampling_walk(const RestoreProblem& p, int jump_length, int visits);

// UserError for a plan of more calls of the network than a table should hold.
inline constexpr int64_t kMostRows = int64_t{1} << 20;
void check_rows(const RestoreProblem& p, int64_t rows);

// Measured coordinates are the data noised to the level, sqrt(c) ybar + sqrt(1-c) z; the others stay.
EditPlan::Rule put_in(const Level& at_level);

// What noise does to a state that climbs from level b to a noisier a: x' = shrink x + sqrt(1 - shrink^2) z.
double climb_shrink(const Level& from, const Level& to);

}  // namespace ito
