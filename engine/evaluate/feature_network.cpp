// SPDX-License-Identifier: Apache-2.0
// The list of networks, and what they have in common.
#include "engine/evaluate/feature_network.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/io/hash.h"
#include "engine/io/input_file.h"
#include "engine/io/resize.h"
#include "engine/io/sample_grid.h"
#include "kernels/error.h"

namespace ito {

extern const FeatureNetworkKind kDinov2, kInception;

const std::vector<const FeatureNetworkKind*>& feature_networks() {
  static const std::vector<const FeatureNetworkKind*> all{&kDinov2, &kInception};
  return all;
}

const FeatureNetworkKind* feature_network_of(const std::string& text, std::string& weights) {
  const size_t colon = text.find(':');
  for (const FeatureNetworkKind* kind : feature_networks())
    if (colon != std::string::npos && text.substr(0, colon) == kind->name) {
      weights = text.substr(colon + 1);
      return kind;
    }
  return nullptr;
}

Image rounded_image(const std::vector<float>& images, const ImageShape& image, int64_t i) {
  ITO_USER_CHECK(image.channels == 1 || image.channels == 3, "features of images of ", image.channels,
                 " channels: the network takes 1 or 3");
  const std::vector<uint8_t> bytes =
      to_bytes(std::span(images).subspan(static_cast<size_t>(i * image.size()), static_cast<size_t>(image.size())));
  return to_picture(bytes.data(), image);
}

std::vector<float> seen_images(const std::vector<float>& images, const ImageShape& image, int64_t first, int64_t n,
                               int side, const Normalisation& normalisation) {
  std::vector<float> seen;
  seen.reserve(static_cast<size_t>(n) * static_cast<size_t>(side) * static_cast<size_t>(side) * 3);
  for (int64_t i = first; i < first + n; ++i) {
    const Image whole = convert_channels(resize_bicubic(rounded_image(images, image, i), side, side), 3);
    for (size_t k = 0; k < whole.pixels.size(); ++k)
      seen.push_back((static_cast<float>(whole.pixels[k]) / 255 - normalisation.mean[k % 3]) /
                     normalisation.deviation[k % 3]);
  }
  return seen;
}

std::string hash_of_file(const std::string& path) {
  const InputFile file(path);
  std::vector<uint8_t> part(size_t{1} << 20);
  uint64_t hash = kHashStart;
  for (uint64_t at = 0; at < file.size(); at += part.size()) {
    const size_t bytes = static_cast<size_t>(std::min<uint64_t>(part.size(), file.size() - at));
    file.read_at(at, part.data(), bytes);
    hash = hash_bytes(hash, part.data(), bytes);
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace ito
