// SPDX-License-Identifier: Apache-2.0
// Guidance as a network: two answers joined to one (kernels/diffusion/guided_answer.h). Whatever asks a network, a
// sampler, a solver, a likelihood, asks the guided one in its place and knows nothing of it. At times of weight 1 the
// other answer counts for nothing, and who knows the times of a call ahead makes the network's own alone
// (Denoiser::expect_times).
#pragma once
#include <optional>

#include "engine/program/network.h"
#include "kernels/diffusion/guided_answer.h"

namespace ito {

// What the names of a guide's parameters begin with in the one layout of both networks.
inline constexpr const char* kGuidePrefix = "guide.";

struct NetworkGuidance {
  GuidanceWeight weight{};
  // The network that is led away from, of the same image, asked at the same time with the same labels where it takes
  // any; none: the network itself, told no class.
  std::optional<Network> guide;
};

// The weight at all times.
GuidanceWeight always(float weight);

// The guided network has the parameters of both. Without a guide its classes are the real ones; with one they stay.
Network guided(const Network& network, const NetworkGuidance& guidance);

}  // namespace ito
