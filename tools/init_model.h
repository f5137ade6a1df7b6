// SPDX-License-Identifier: Apache-2.0
// What fine-tuning takes from a model, --init: its architecture, its weights, its noise schedule, and nothing of its
// training. Where the data has another number of classes, the network is given as many embeddings, drawn anew.
#pragma once
#include <string>
#include <vector>

#include "engine/program/parameters.h"
#include "models/model.h"

namespace ito {

// The model with an embedding a class of the data, and one for no class where training leaves classes out and the
// network has none of its own; as it is where they fit already, where the data has no classes or the model has none.
Model with_classes_of_data(Model model, int classes, bool class_dropout);

// The arena of `layout`: what the weights of the model, as it was read, have in the same shape, and the rest by the
// seed. told: a line of what was taken and what was not. UserError where there are no weights.
struct TakenWeights {
  std::vector<float> arena;
  std::string told;
};
TakenWeights take_weights(const Model& stored_model, const ParameterLayout& layout, uint64_t seed);

}  // namespace ito
