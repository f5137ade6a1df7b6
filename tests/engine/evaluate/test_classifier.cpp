// SPDX-License-Identifier: Apache-2.0
// The classifier on images whose classes are seen by eye: that it learns them, as a function of the data and the seed
// alone, and that it is the same when it is read again; and what is refused.
#include "engine/evaluate/classifier.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/evaluate/classifier_network.h"
#include "kernels/random/philox.h"
#include "kernels/seams/device.h"
#include "tests/engine/io/temp_folder.h"

namespace ito::test {
namespace {

constexpr int kSize = 6, kClasses = 3;

// Stripes along the rows, along the columns, and a chequerboard, under noise.
Dataset striped(int count, uint64_t seed) {
  Dataset data;
  data.name = "stripes";
  data.count = count;
  data.height = kSize;
  data.width = kSize + 1;
  data.channels = 1;
  for (int i = 0; i < count; ++i) {
    const int label = i % kClasses;
    data.labels.push_back(label);
    for (int y = 0; y < data.height; ++y)
      for (int x = 0; x < data.width; ++x) {
        const uint32_t noise = philox4x32(seed, static_cast<uint32_t>(y * 16 + x), 0, static_cast<uint32_t>(i), 0).v[0];
        const bool light = (label == 0 ? y : label == 1 ? x : x + y) % 2;
        data.pixels.push_back(static_cast<uint8_t>((light ? 160 : 20) + noise % 76));
      }
  }
  return data;
}

std::vector<float> images_of(const Dataset& data) {
  std::vector<float> images(static_cast<size_t>(data.count * data.image_size()));
  for (int i = 0; i < data.count; ++i) data.image_f32(i, false, images.data() + i * data.image_size());
  return images;
}

// sim is slow: few steps, and many more elsewhere are no harder.
ClassifierTraining few_steps() {
  ClassifierTraining training;
  training.steps = 25;
  training.batch = 12;
  training.peak_learning_rate = 5e-3;
  training.seed = 3;
  return training;
}

TEST(Classifier, LearnsClassesSeenByEye) {
  const Classifier classifier = Classifier::train(striped(60, 1), few_steps());
  const Dataset other = striped(30, 2);
  const Classifier::Answers answers = classifier.answers(images_of(other));
  EXPECT_EQ(answers.classes, other.labels);
  EXPECT_EQ(answers.features.count, 30);
  EXPECT_EQ(answers.features.dim, kClassifierFeatures);
  // Images of one class are nearer to one another than to others, on the whole.
  double within = 0, between = 0;
  for (int64_t i = 0; i < 30; ++i)
    for (int64_t j = 0; j < i; ++j) {
      double square = 0;
      for (int64_t d = 0; d < kClassifierFeatures; ++d)
        square += std::pow(answers.features.row(i)[d] - answers.features.row(j)[d], 2);
      (other.labels[i] == other.labels[j] ? within : between) += square;
    }
  EXPECT_LT(within / (3 * 45), 0.5 * between / 300);  // 45 pairs in each of three classes, 300 others
}

// Nor does an image's answer know its batch: of 131 images the last batch holds three.
TEST(Classifier, IsAFunctionOfDataAndSeed) {
  const Dataset data = striped(40, 1), many = striped(131, 4);
  ClassifierTraining training = few_steps();
  training.steps = 4;
  const Classifier::Answers answers = Classifier::train(data, training).answers(images_of(many));
  set_device_threads(3);
  const Classifier::Answers again = Classifier::train(data, training).answers(images_of(many));
  set_device_threads(0);
  EXPECT_EQ(again.features.values, answers.features.values);  // bit for bit
  EXPECT_EQ(again.classes, answers.classes);
  std::vector<float> last = images_of(many);
  last.erase(last.begin(), last.begin() + 130 * many.image_size());
  const std::vector<double> alone = Classifier::train(data, training).answers(last).features.values;
  EXPECT_EQ(alone, std::vector<double>(answers.features.row(130), answers.features.row(130) + kClassifierFeatures));
  training.seed = 4;
  EXPECT_NE(Classifier::train(data, training).answers(images_of(many)).features.values, answers.features.values);
}

TEST(Classifier, IsTheSameWhenItIsReadAgain) {
  const TempFolder folder;
  const Dataset data = striped(40, 1);
  ClassifierTraining training = few_steps();
  training.steps = 2;
  Classifier classifier = Classifier::train(data, training);
  classifier.add_to_history("note", "kept");
  for (const std::string& place : {folder / "one", folder / "deep/er/"}) {
    classifier.write(place);
    const Classifier read = Classifier::read(place, {data.height, data.width, 1}, kClasses);
    EXPECT_EQ(read.answers(images_of(data)).features.values, classifier.answers(images_of(data)).features.values);
    EXPECT_EQ(read.history(), classifier.history());
    EXPECT_EQ(read.history().at("note"), "kept");
    EXPECT_EQ(read.history().at("steps"), 2);
  }
  EXPECT_EQ(folder.names().size(), 2u);  // nothing partial stays
}

TEST(Classifier, WhatDoesNotFitIsRefusedInOneLine) {
  const TempFolder folder;
  const std::string advice = "; give another folder, or one that does not exist, and a classifier is trained there";
  const std::string place = folder / "c", config = place + "/config.json";
  ClassifierTraining training = few_steps();
  training.steps = 1;
  Classifier::train(striped(12, 1), training).write(place);
  const auto read = [&](const std::string& where, const ImageShape& image, int classes) {
    return message_of([&] { Classifier::read(where, image, classes); });
  };
  const ImageShape image{kSize, kSize + 1, 1};
  const std::string is = config + ": is a classifier of images of 6 x 7 x 1 in 3 classes; the data has ";
  EXPECT_EQ(read(place, {kSize, kSize, 1}, 3), is + "6 x 6 x 1 in 3" + advice);
  EXPECT_EQ(read(place, {kSize, kSize + 1, 3}, 3), is + "6 x 7 x 3 in 3" + advice);
  EXPECT_EQ(read(place, image, 4), is + "6 x 7 x 1 in 4" + advice);
  const std::string none = ": is no classifier's folder: it has no config.json" + advice;
  EXPECT_EQ(read(folder / "none", image, 3), folder / "none" + none);
  EXPECT_EQ(read(config, image, 3), config + none);
  folder.write("other/config.json", R"({"_class_name": "UNet2DModel"})");
  EXPECT_EQ(read(folder / "other", image, 3),
            folder / "other/config.json" + ": is of 'UNet2DModel', not of a classifier" + advice);
  folder.write("other/config.json", "[]");
  EXPECT_EQ(read(folder / "other", image, 3),
            folder / "other/config.json" + ": found array, expected a JSON object of settings");
  Json changed = read_json_file(config);
  changed["features"] = 4;
  write_json_file(config, changed);
  EXPECT_EQ(read(place, image, 3), config + ": is a classifier of 4 features; it has 128 here" + advice);
  changed["features"] = kClassifierFeatures;
  write_json_file(config, changed);
  folder.write("c/model.safetensors", "short");
  EXPECT_NE(read(place, image, 3).find("c/model.safetensors: "), std::string::npos) << read(place, image, 3);

  Dataset unlabelled = striped(6, 1);
  unlabelled.labels.clear();
  EXPECT_EQ(
      message_of([&] { Classifier::train(unlabelled, training); }),
      "stripes: has no labels; a classifier needs two classes or more, so compare pixels, or features of your own");
  unlabelled.labels.assign(6, 0);
  EXPECT_EQ(
      message_of([&] { Classifier::train(unlabelled, training); }),
      "stripes: has one class; a classifier needs two classes or more, so compare pixels, or features of your own");
  training.memory_limit = 1;
  EXPECT_NE(message_of([&] { Classifier::train(striped(6, 1), training); }).find("training the classifier needs "),
            std::string::npos);
}

// Images of any size end in one row of features: tall ones, tiny ones, large ones.
TEST(Classifier, TakesImagesOfAnySize) {
  for (const auto& [h, w] : {std::pair{1, 1}, {2, 9}, {28, 28}, {5, 130}, {300, 1}, {256, 256}})
    for (const int channels : {1, 3}) {
      Program program({2, Mode::Training, DType::F32});
      const ClassifierValues v = append_classifier(program, {h, w, channels}, 7);
      const ValueInfo features = program.info(v.features), logits = program.info(v.logits);
      EXPECT_EQ(features.row(), kClassifierFeatures) << h << " x " << w;
      EXPECT_EQ(features.c, kClassifierFeatures) << h << " x " << w;
      EXPECT_EQ(logits.row(), 7) << h << " x " << w;
    }
}

}  // namespace
}  // namespace ito::test
