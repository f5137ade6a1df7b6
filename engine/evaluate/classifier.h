// SPDX-License-Identifier: Apache-2.0
// A small classifier of the data set's own classes, trained here, whose activations before its last layer are features
// to compare images by: no network is fetched from anywhere. Its features are of this data set alone, so numbers can be
// compared where the classifier is the same one: it is kept in a folder.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/evaluate/feature_set.h"
#include "engine/io/json_file.h"
#include "engine/io/layout.h"

namespace ito {

struct ClassifierTraining {
  int steps = 500, batch = 64;
  double peak_learning_rate = 2e-3;
  uint64_t seed = 0;
  size_t memory_limit = SIZE_MAX;                             // bytes of the device
  std::function<void(int64_t done)> report = [](int64_t) {};  // with 0 once nothing can be refused, then every step
};

class Classifier {
 public:
  // AdamW on the cross-entropy of the labels, a function of the data, the seed and the other settings. UserError
  // without two classes.
  static Classifier train(const Dataset& data, const ClassifierTraining& training);

  // FOLDER/config.json and FOLDER/model.safetensors, whole or not at all. UserError if what is there is something else,
  // is damaged, or is a classifier of other images or another number of classes.
  static Classifier read(const std::string& folder, const ImageShape& image, int classes);
  void write(const std::string& folder) const;

  struct Answers {
    FeatureSet features;
    std::vector<int32_t> classes;  // the likeliest of each image
  };
  // Of n images (N, H, W, C) in [-1, 1].
  Answers answers(const std::vector<float>& images) const;

  // What it was trained on and how: part of config.json, and of reports.
  const Json& history() const { return history_; }
  void add_to_history(const std::string& key, const Json& value) { history_[key] = value; }

 private:
  Classifier(const ImageShape& image, int classes, std::vector<float> weights, Json history)
      : image_(image), classes_(classes), weights_(std::move(weights)), history_(std::move(history)) {}

  ImageShape image_;
  int classes_;
  std::vector<float> weights_;  // an arena of classifier_layout()
  Json history_;
};

}  // namespace ito
