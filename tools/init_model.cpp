// SPDX-License-Identifier: Apache-2.0
// See init_model.h. Only tables of classes have a shape that data decides; all else fits or is refused.
#include "tools/init_model.h"

#include <algorithm>

#include "engine/checkpoint/weights.h"
#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

// Names and shapes do not depend on the image's size.
Network some_network(const Model& model) {
  const ImageShape& image = model.configured.image;
  const int least = model.configured.side_multiple;
  return model.network(image.height ? image.height : least, image.width ? image.width : least);
}

}  // namespace

Model with_classes_of_data(Model model, int classes, bool class_dropout) {
  const Network network = some_network(model);
  if (network.labels != LabelKind::Index || classes == 0 || !model.architecture->with_classes) return model;
  const bool own_row = network.null_class >= 0;  // for no class, besides the classes
  const bool fits = network.classes == classes + (class_dropout && !own_row ? 1 : 0) ||
                    (!own_row && network.classes == classes + 1);  // the last for none, of a training before
  if (fits) return model;
  const Json config =
      model.architecture->with_classes(model.configured.config, classes + (class_dropout && !own_row ? 1 : 0));
  model.configured = model.architecture->configure(config, model.where, nullptr);
  return model;
}

TakenWeights take_weights(const Model& stored_model, const ParameterLayout& layout, uint64_t seed) {
  const ParameterLayout stored = parameters_of(some_network(stored_model));
  const std::vector<float> weights = read_weights(stored_model.weights_file(), stored);
  TakenWeights taken{.arena = initial_weights(layout, seed), .told = {}};
  std::vector<std::string> anew;
  for (const Parameter& p : layout.all()) {
    const Parameter* from = stored.has(p.name) ? &stored.find(p.name) : nullptr;
    if (from && from->shape == p.shape)
      std::copy_n(weights.begin() + from->offset, p.count(), taken.arena.begin() + p.offset);
    else
      anew.push_back(join_text(p.name, ", ", shape_text(p.shape), from ? " for " + shape_text(from->shape) : ""));
  }
  taken.told = join_text("starting from the weights of ", stored_model.files.weights, ": ",
                         layout.all().size() - anew.size(), " of ", layout.all().size(), " tensors");
  for (const std::string& name : anew) taken.told += "; drawn anew: " + name;
  taken.told +=
      join_text("; ", stored_model.files.scheduler.empty() ? "no noise schedule stands there" : "its noise schedule",
                ", a new optimiser");
  return taken;
}

}  // namespace ito
