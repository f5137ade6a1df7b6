// SPDX-License-Identifier: Apache-2.0
// A Gaussian mixture among the architectures: a network that answers exactly what a trained one estimates, E[eps | x],
// at any alpha and sigma. It has no weights; its configuration is all of it.
#include "engine/ops/ops.h"
#include "models/architecture.h"
#include "models/mixture/mixture_config.h"

namespace ito {
namespace {

Network network_of(const MixtureConfig& config, int height, int width, const std::string& where) {
  const ImageShape& image = config.image;
  ITO_USER_CHECK(height == image.height && width == image.width, where, ": is a mixture of ", image.height, " x ",
                 image.width, " images, but ", height, " x ", width, " were asked for; leave height and width out");
  const GaussianMixture mixture = config.mixture();
  Network network;
  network.image = image;
  network.out_channels = image.channels;
  network.asks_level = true;
  if (config.class_count()) {
    network.labels = LabelKind::Index;
    network.classes = config.class_count() + 1;  // the last: of no class
  }
  network.append = [constants = MixtureConstants{mixture.log_weights(), mixture.means(), mixture.variances(),
                                                 config.classes}](Program& program, const NetworkInputs& inputs) {
    return gaussian_mixture(program, "mixture", inputs.sample, inputs.level, inputs.labels, constants);
  };
  return network;
}

Configured configure(const Json& json, const std::string& where, std::vector<std::string>* warnings) {
  const MixtureConfig config = mixture_config_from_json(json, where, warnings);
  Configured configured;
  configured.config = to_json(config);
  configured.image = config.image;
  configured.network = [config, where](int height, int width) { return network_of(config, height, width, where); };
  if (!config.class_count())  // else it is another for every class
    configured.log_density = [mixture = config.mixture()](const float* x, double alpha, double sigma) {
      return mixture.log_density({x, x + mixture.size()}, alpha, sigma);
    };
  configured.config_for = [config](int, int) { return to_json(config); };
  configured.scheduler = unclipped_scheduler();
  return configured;
}

}  // namespace

extern const Architecture kGaussianMixture;
const Architecture kGaussianMixture{"GaussianMixture", "mixture", configure, {}, nullptr, nullptr, nullptr, "ito"};

}  // namespace ito
