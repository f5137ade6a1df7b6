// SPDX-License-Identifier: Apache-2.0
// The steps that samplers of the reverse SDE are made of (Song et al. 2021), in the network's own state. With t from 1
// to sampling_eps in N nodes, score = -eps / sigma, and beta(t), s(t) of the model's process:
//   Euler-Maruyama     x' = x - (f - g^2 score) / N + g sqrt(1/N) z;  vp: f = -beta x / 2, g^2 = beta;  sub-vp: g^2 =
//                      beta (1 - alpha^4);  ve: f = 0, g^2 = s^2 2 ln(s_max / s_min)
//   reverse diffusion  x' = x - F + G^2 score + G z, of the process on N levels i = floor(t (N - 1));  vp: F =
//                      (sqrt(1 - beta_i) - 1) x, G^2 = beta_i = beta / N;  ve: F = 0, G^2 = s_i^2 - s_{i-1}^2, s_-1 = 0
//   ancestral          vp: x' = (x + beta_i score) / sqrt(1 - beta_i) + sqrt(beta_i) z;  ve: x' = x + G^2 score +
//                      sqrt(s_{i-1}^2 G^2 / s_i^2) z
// A step is of the nominal length 1/N, not of the nodes' distance, and the result of a run is the last step's mean: it
// draws nothing. A model of tabled betas has beta(t) = T beta_t.
#pragma once
#include "engine/samplers/sampler.h"

namespace ito {

inline constexpr SamplerOption kSamplingEpsOption = {"sampling_eps", 1e-3, 1e-6, 0.5,
                                                     "the time, of 0 to 1, at which the run ends"};

inline constexpr const char* kPredictors[] = {"reverse-diffusion", "ancestral", "euler-maruyama"};
enum class Predictor : uint8_t { ReverseDiffusion, Ancestral, EulerMaruyama };  // as named

inline constexpr const char* kCorrectors[] = {"langevin", "annealed-langevin"};
enum class Corrector : uint8_t { Langevin, AnnealedLangevin };  // as named

// The families whose process is an SDE of these papers.
inline constexpr Families kSdeFamilies =
    families_of({Family::Vp, Family::VpSde, Family::SubVp, Family::Ve, Family::Edm});

// A builder whose runs begin at the process's end: N(0, I), or s_max z where alpha is 1.
RowBuilder score_sde_rows(const SamplingProblem& p);

// The step from node i, a row of its own. flow: of the probability flow, that is half the score and no noise; UserError
// where the rule has none.
void predict(const SamplingProblem& p, RowBuilder& rows, int i, Predictor rule, bool flow = false);

// A Langevin step at node i: x + e score + sqrt(2e) z, with e from the signal-to-noise ratio r, in a row of its own:
//   langevin           e = 2 a (r |z| / |score|)^2, norms of the image (the published ones are means over a batch)
//   annealed-langevin  e = 2 a (r sigma)^2
// a = 1 - beta_i, or 1 where alpha is.
void correct(const SamplingProblem& p, RowBuilder& rows, int i, Corrector rule, double signal_to_noise);

}  // namespace ito
