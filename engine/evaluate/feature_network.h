// SPDX-License-Identifier: Apache-2.0
// Networks whose activations are features to compare images by, with weights that the user brings. One is a file
// beside this one, which defines a FeatureNetworkKind, and its name in the list of feature_network.cpp.
//
// The three usual mistakes, by which numbers of two programs differ that should be the same: the weights (features of
// another training, or of another port of it, are other features), the resize (to the network's size: the filter,
// whether it is widened when it shrinks, where pixels lie, whether levels are whole), and the rounding (images that
// nobody saved have to be rounded to the 8 bits that saved ones have). Every network here sees images rounded to 8
// bits, resizes them as who published its numbers did, and says both, and which weights it has.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/evaluate/feature_set.h"
#include "engine/io/image.h"
#include "engine/io/json_file.h"
#include "engine/io/layout.h"

namespace ito {

class FeatureNetwork {
 public:
  virtual ~FeatureNetwork() = default;
  // Of n images (N, H, W, C) in [-1, 1], of one or three channels.
  virtual FeatureSet features(const std::vector<float>& images, const ImageShape& image) const = 0;
  // What its numbers depend on: weights, resize, rounding; part of reports.
  virtual Json settings() const = 0;
};

struct FeatureNetworkKind {
  const char* name;     // what stands before the colon of NAME:WEIGHTS
  const char* summary;  // for help
  // UserError for a file of other weights. memory_limit: bytes of the device.
  std::unique_ptr<FeatureNetwork> (*open)(const std::string& weights, size_t memory_limit);
};

const std::vector<const FeatureNetworkKind*>& feature_networks();
// The one that NAME:WEIGHTS names, or null for another text; weights becomes what follows the colon.
const FeatureNetworkKind* feature_network_of(const std::string& text, std::string& weights);

// Image i of (N, H, W, C) in [-1, 1], rounded to 8 bits. UserError unless it has one channel or three.
Image rounded_image(const std::vector<float>& images, const ImageShape& image, int64_t i);

// Images first .. first+n-1 as a network of `side` pixels and three channels sees them: rounded to 8 bits, resized by
// cubic convolution on whole levels, grey as RGB, and (level / 255 - mean) / deviation by channel. (N, side, side, 3).
struct Normalisation {
  float mean[3], deviation[3];
};
std::vector<float> seen_images(const std::vector<float>& images, const ImageShape& image, int64_t first, int64_t n,
                               int side, const Normalisation& normalisation);
// FNV-1a of a file's bytes, in hexadecimal.
std::string hash_of_file(const std::string& path);

}  // namespace ito
