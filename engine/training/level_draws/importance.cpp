// SPDX-License-Identifier: Apache-2.0
// Loss-second-moment resampling (Nichol and Dhariwal 2021, eq. 18): a timestep's chance p_t is in proportion to the
// root of the mean of its last ten squared losses, and its loss is divided by T p_t, so that the expected gradient is
// that of a uniform draw. Uniform until every timestep has ten losses. The losses are those of the weighting that
// trains.
#include "engine/training/level_draw.h"

namespace ito {
namespace {

// The published code mixes 1/1000 of a uniform draw in, so that no timestep is left for good.
constexpr ChoiceNumber kNumbers[] = {{"uniform", 1e-3, 0, 1, "share of uniform draws"}};

}  // namespace

extern const LevelDraw kImportanceDraw;
const LevelDraw kImportanceDraw = {
    .name = "importance",
    .summary = "by the losses so far, weighted back; Nichol and Dhariwal 2021",
    .numbers = kNumbers,
    .usual_for = {},
    .cumulative = nullptr,
    .learns = true,
};

}  // namespace ito
