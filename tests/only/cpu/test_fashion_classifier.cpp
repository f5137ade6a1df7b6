// SPDX-License-Identifier: Apache-2.0
// The classifier as `ito eval` trains it, on Fashion-MNIST: what a small convolutional network reaches there.
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/data/load_dataset.h"
#include "engine/evaluate/classifier.h"

namespace ito::test {
namespace {

TEST(FashionClassifier, IsRightOnMoreThanEightyFivePercent) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist"))
    GTEST_SKIP() << "the Debian package dataset-fashion-mnist is not installed";
  const Dataset train = load_dataset("fashion-mnist"), test = load_dataset("fashion-mnist", {.split = Split::Test});
  const Classifier classifier = Classifier::train(train, {});
  std::vector<float> images(static_cast<size_t>(test.count * test.image_size()));
  for (int i = 0; i < test.count; ++i) test.image_f32(i, false, images.data() + i * test.image_size());
  const Classifier::Answers answers = classifier.answers(images);
  int right = 0;
  for (int i = 0; i < test.count; ++i) right += answers.classes[i] == test.labels[i];
  EXPECT_GT(right, 0.85 * test.count);
  RecordProperty("right", right);
}

}  // namespace
}  // namespace ito::test
