// SPDX-License-Identifier: Apache-2.0
// See toy_config.h.
#include "models/toy/toy_config.h"

#include <string_view>

#include "engine/io/input_file.h"
#include "engine/io/json_reader.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr int kMostSide = 1 << 14;
constexpr std::string_view kNames = "ABCSH";  // in the order of ToyForm

}  // namespace

ToyConfig toy_config_from_json(const Json& object, const std::string& where, std::vector<std::string>* warnings) {
  JsonReader reader(object, where);
  for (const char* key : {"name", "shape"})
    ITO_USER_CHECK(reader.has(key), where, ": has no ", key, "; a ToyNetwork has a name and a shape [C, H, W]");
  ToyConfig c;
  std::string name;
  reader.read("name", name);
  const size_t at = name.size() == 1 ? kNames.find(name) : std::string_view::npos;
  ITO_USER_CHECK(at != std::string_view::npos, where, ": name is ", quote_name(name), "; expected A, B, C, S or H");
  c.form = static_cast<ToyForm>(at);
  std::vector<int> shape;
  reader.read("shape", shape);
  ITO_USER_CHECK(shape.size() == 3, where, ": shape holds ", shape.size(), " numbers; expected [C, H, W]");
  for (const int extent : shape)
    ITO_USER_CHECK(extent >= 1 && extent <= kMostSide, where, ": shape holds ", extent, "; expected 1 to ", kMostSide);
  c.image = {shape[1], shape[2], shape[0]};
  if (warnings)
    if (const std::string unknown = reader.unread_names(); !unknown.empty())
      warnings->push_back(where + ": ignoring unknown keys: " + unknown);
  return c;
}

Json to_json(const ToyConfig& c) {
  return {{"_class_name", "ToyNetwork"},
          {"name", std::string(1, kNames[static_cast<size_t>(c.form)])},
          {"shape", {c.image.channels, c.image.height, c.image.width}}};
}

}  // namespace ito
