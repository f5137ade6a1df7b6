// SPDX-License-Identifier: Apache-2.0
// From codes to pixels: the decoder of diffusers' AutoencoderKL (Rombach et al. 2022, appendix E), under the names of
// its files.
#pragma once
#include "engine/program/program.h"
#include "models/autoencoder_kl/autoencoder_config.h"

namespace ito {

// codes: (N, h, w, latent_channels), not scaled by scaling_factor any more. Returns (N, h f, w f, out_channels), f the
// configuration's side_factor().
Value append_decoder(Program& program, const AutoencoderConfig& config, Value codes);

// Of the decoder alone; a file holds the encoder beside it.
ParameterLayout decoder_parameters(const AutoencoderConfig& config);

}  // namespace ito
