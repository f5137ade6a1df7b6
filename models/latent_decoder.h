// SPDX-License-Identifier: Apache-2.0
// The network that makes images of what a latent model draws: an autoencoder's decoder in diffusers' format, at work.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/program/device_buffer.h"
#include "models/autoencoder_kl/autoencoder_config.h"

namespace ito {

class LatentDecoder {
 public:
  // path: a diffusers directory with a folder vae/, or that folder. UserError where there is none, or one of another
  // class. The encoder's weights are not read.
  static LatentDecoder open(const std::string& path);

  int channels() const { return config_.latent_channels; }     // of codes
  int image_channels() const { return config_.out_channels; }  // of images
  int side_factor() const { return config_.side_factor(); }    // pixels of a side for one of the codes'

  // codes: (N, h, w, channels()), as an encoder gives them. Returns (N, h f, w f, image_channels()), nominally in
  // [-1, 1], f the side factor. An image's bits depend on its codes alone. UserError where the memory does not suffice.
  // done: images so far, for whoever watches, or null.
  std::vector<float> decode(const std::vector<float>& codes, int h, int w, int batch, DType compute,
                            size_t memory_limit, std::atomic<int64_t>* done = nullptr) const;

 private:
  AutoencoderConfig config_;
  DeviceBuffer<float> weights_;
};

}  // namespace ito
