// SPDX-License-Identifier: Apache-2.0
// The network that makes images of what a latent model draws: an autoencoder's decoder in diffusers' format, at work.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/program/device_buffer.h"
#include "models/autoencoder_kl/autoencoder_config.h"

namespace ito {

// Images first .. first+n-1, (n, H, W, C).
using TakeDecoded = std::function<void(int64_t first, int64_t n, const std::vector<float>& images)>;

class LatentDecoder {
 public:
  // path: a diffusers directory with a folder vae/, or that folder. UserError where there is none, or one of another
  // class. The encoder's weights are not read.
  static LatentDecoder open(const std::string& path);

  int channels() const { return config_.latent_channels; }     // of codes
  int image_channels() const { return config_.out_channels; }  // of images
  int side_factor() const { return config_.side_factor(); }    // pixels of a side for one of the codes'

  // Of the configuration and the weights, hexadecimal.
  const std::string& fingerprint() const { return fingerprint_; }

  // codes: (N, h, w, channels()), as an encoder gives them. Images (h f, w f, image_channels()), nominally in [-1, 1],
  // f the side factor, go to `take` by the batch, in order. An image's bits depend on its codes alone. UserError where
  // the memory does not suffice.
  void decode(std::span<const float> codes, int h, int w, int batch, DType compute, size_t memory_limit,
              const TakeDecoded& take) const;

 private:
  AutoencoderConfig config_;
  std::string fingerprint_;
  DeviceBuffer<float> weights_;
};

}  // namespace ito
