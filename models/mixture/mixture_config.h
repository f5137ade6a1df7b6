// SPDX-License-Identifier: Apache-2.0
// The file of a Gaussian mixture, which is the whole model:
//   {"_class_name": "GaussianMixture", "shape": [C, H, W], "weights": [..], "means": [[..], ..],
//    "variances": [..] or [[..], ..], "classes": [..]}
// A component has a weight above 0 (they are divided by their sum), a mean of C*H*W numbers in the order of the shape,
// and one variance for all of its numbers or one for each. classes, which may be left out, says of each component what
// class it is of, 0, 1 and so on; the network then takes class labels, and one more, the last, that says no class.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "engine/diffusion/gaussian_mixture.h"
#include "engine/io/json_file.h"
#include "engine/io/layout.h"

namespace ito {

struct MixtureConfig {
  ImageShape image;
  std::vector<double> weights;
  std::vector<std::vector<double>> means;  // (C, H, W) each
  // One number a component, or as many as its mean has.
  std::vector<std::vector<double>> variances;
  std::vector<int> classes;  // one a component, each of 0 .. class_count()-1 at least once; empty: none

  int class_count() const { return classes.empty() ? 0 : 1 + *std::ranges::max_element(classes); }
  // Its samples are (H, W, C), as the engine has them.
  GaussianMixture mixture() const;
};

// where: the file's name for messages. warnings may be null.
MixtureConfig mixture_config_from_json(const Json& object, const std::string& where,
                                       std::vector<std::string>* warnings);
Json to_json(const MixtureConfig& config);

}  // namespace ito
