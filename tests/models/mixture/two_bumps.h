// SPDX-License-Identifier: Apache-2.0
// Mixtures that tests sample from, as files.
#pragma once
#include <string>

#include "engine/io/json_file.h"
#include "tests/engine/io/temp_folder.h"

namespace ito::test {

// Two numbers, two components of unequal weight.
inline Json two_bumps() {
  return {{"_class_name", "GaussianMixture"},
          {"shape", {2, 1, 1}},
          {"weights", {1, 3}},
          {"means", {{-1.8, 1.2}, {0.6, -0.4}}},
          {"variances", {0.6, 0.9}}};
}

// Sixteen numbers in two channels of 2 x 4, three components, variances of their own for each number.
inline Json three_images() {
  Json means = Json::array(), variances = Json::array();
  for (int k = 0; k < 3; ++k) {
    Json mean = Json::array(), variance = Json::array();
    for (int j = 0; j < 16; ++j) {
      mean.push_back(((j * (k + 3) + k) % 5 - 2) * 0.7);
      variance.push_back(0.6 + 0.2 * ((j + 2 * k) % 4));
    }
    means.push_back(mean);
    variances.push_back(variance);
  }
  return {{"_class_name", "GaussianMixture"},
          {"shape", {2, 2, 4}},
          {"weights", {0.5, 0.2, 0.3}},
          {"means", means},
          {"variances", variances}};
}

// The same, its components of class 0, 1 and 0; label 2 is of no class.
inline Json images_of_two_classes() {
  Json file = three_images();
  file["classes"] = {0, 1, 0};
  return file;
}

}  // namespace ito::test
