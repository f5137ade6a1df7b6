// SPDX-License-Identifier: Apache-2.0
// The singlestep DPM-Solvers (Lu et al. 2022a and 2022b): levels are taken in blocks, and each call inside a block
// makes the step from the block's start anew, by one order more. One network call a level, like the multistep rules,
// but nothing is remembered from block to block.
#pragma once
#include "engine/samplers/dpm_solver.h"

namespace ito {

struct DpmSinglestep {
  DpmSolver solver;  // its form, noise and second order
  // Of each step, from 1 up inside a block: 1 2 3 1 2 3 1.
  std::vector<int> orders;
  // How the third order is taken: with both differences (heun), or by the newest estimate alone (midpoint), which is of
  // third order where that estimate is two thirds of the way.
  bool second_difference = false;
};

// The blocks of diffusers' class: of `order`, with shorter ones behind them where `shortens`, or where the steps do not
// divide into blocks, or the run ends at clean data, where the last step is of first order.
std::vector<int> singlestep_orders(int steps, int order, bool shortens, bool ends_clean);

ReverseTable dpm_singlestep_table(const SamplingProblem& problem, const DpmSinglestep& singlestep);

inline constexpr SamplerOption kShortBlocksOption =
    flag_option("lower_order_final", false,
                "shorter blocks at the end; always so to clean data, and where the steps do not divide into blocks");

}  // namespace ito
