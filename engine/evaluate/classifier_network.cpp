// SPDX-License-Identifier: Apache-2.0
// See classifier_network.h.
#include "engine/evaluate/classifier_network.h"

#include <algorithm>

#include "engine/ops/ops.h"

namespace ito {
namespace {

constexpr int kStem = 16, kWidest = 64, kGroups = 8;
constexpr int kLargestSide = 63;  // larger images are halved first: their classes are seen in small ones too
constexpr int kLastSide = 4;      // what the last convolution covers

Value norm_and_silu(Program& program, const std::string& name, Value x) {
  GroupNormOptions options;
  options.groups = kGroups;
  options.silu = true;
  return group_norm(program, name, x, options);
}

}  // namespace

ClassifierValues append_classifier(Program& program, const ImageShape& image, int classes) {
  ClassifierValues v;
  v.image = program.input("image", image.height, image.width, image.channels, DType::F32);
  Value x = v.image;
  const auto side = [&] { return std::max(program.info(x).h, program.info(x).w); };
  const auto narrow = [&] { return std::min(program.info(x).h, program.info(x).w); };
  for (int i = 0; side() > kLargestSide && narrow() > 1; ++i)
    x = average_pool(program, "shrink." + std::to_string(i), x);
  Conv2dOptions conv;
  conv.k = kStem;
  x = conv2d(program, "stem", x, conv);
  conv.stride = 2;
  for (int i = 0; side() > kLastSide; ++i) {
    const std::string name = "down." + std::to_string(i);
    x = norm_and_silu(program, name + ".norm", x);
    conv.k = std::min(2 * conv.k, kWidest);
    x = conv2d(program, name + ".conv", x, conv);
  }
  x = norm_and_silu(program, "last.norm", x);
  Conv2dOptions all;  // of the pixels, padded to a square
  all.k = kClassifierFeatures;
  all.r = all.s = side();
  all.pad_top = all.pad_left = 0;
  all.pad_bottom = all.r - program.info(x).h;
  all.pad_right = all.s - program.info(x).w;
  v.features = silu(program, "features", conv2d(program, "last.conv", x, all));
  v.logits = linear_rows(program, "classes", v.features, classes, false);
  return v;
}

ParameterLayout classifier_layout(const ImageShape& image, int classes) {
  Program program({1, Mode::Inference, DType::F32});
  append_classifier(program, image, classes);
  return program.declared();
}

}  // namespace ito
