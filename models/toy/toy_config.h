// SPDX-License-Identifier: Apache-2.0
// The file of a network in closed form (kernels/diffusion/toy.h), which is the whole model:
//   {"_class_name": "ToyNetwork", "name": "A", "B", "C", "S" or "H", "shape": [C, H, W]}
#pragma once
#include <string>
#include <vector>

#include "engine/io/json_file.h"
#include "engine/io/layout.h"
#include "kernels/diffusion/toy.h"

namespace ito {

struct ToyConfig {
  ToyForm form = ToyForm::A;
  ImageShape image;
};

// where: the file's name for messages. warnings may be null.
ToyConfig toy_config_from_json(const Json& object, const std::string& where, std::vector<std::string>* warnings);
Json to_json(const ToyConfig& config);

}  // namespace ito
