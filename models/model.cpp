// SPDX-License-Identifier: Apache-2.0
// See model.h. The only place that goes through the list of architectures.
#include "models/model.h"

#include <filesystem>

#include "engine/checkpoint/names.h"
#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

// Files of before class names, and ours by hand, are taken for what their folder holds.
const Architecture& architecture_of(const Json& config, const ModelFiles& files, Architectures all) {
  if (config.is_object() && config.contains("_class_name")) {
    std::string names;
    for (const Architecture* a : all) {
      if (config["_class_name"] == a->class_name) return *a;
      names += (names.empty() ? "" : ", ") + std::string(a->class_name);
    }
    fail<UserError>(files.config, ": _class_name is ", printable(config["_class_name"].dump(), 60),
                    ", which is not implemented; use ", names);
  }
  for (const Architecture* a : all)
    if (files.folder == a->folder) return *a;
  return *all.front();
}

const NamedConfig* find_named(const std::string& name, const Architecture** owner = nullptr) {
  for (const Architecture* a : architectures())
    for (const NamedConfig& named : a->named)
      if (named.name == name) {
        if (owner) *owner = a;
        return &named;
      }
  return nullptr;
}

}  // namespace

Network Model::network(int height, int width) const {
  const ImageShape& image = configured.image;
  ITO_USER_CHECK((height || image.height) && (width || image.width), where,
                 ": has no image size; give the height and the width");
  return configured.network(height ? height : image.height, width ? width : image.width);
}

Component Model::component() const {
  return {architecture->folder, architecture->class_name, configured.config};
}

Component Model::component(int height, int width) const {
  return {architecture->folder, architecture->class_name, configured.config_for(height, width)};
}

const std::string& Model::weights_file() const {
  ITO_USER_CHECK(!files.weights.empty(), path, ": found no weights; expected ", kWeightsFile, " in it or in its ",
                 architecture->folder, " folder");
  return files.weights;
}

Model read_model(const std::string& path, Architectures among) {
  Model model;
  model.path = path;
  model.files = find_model(path, component_folders(among));
  model.where = model.files.config;
  const Json config = read_json_file(model.files.config);
  model.architecture = &architecture_of(config, model.files, among);
  std::vector<std::string> warnings;
  model.configured = model.architecture->configure(config, model.where, &warnings);
  for (const std::string& warning : warnings) warn(warning);
  return model;
}

std::vector<std::string> named_models() {
  std::vector<std::string> names;
  for (const Architecture* a : architectures())
    for (const NamedConfig& named : a->named) names.emplace_back(named.name);
  return names;
}

bool is_named_model(const std::string& name) {
  return find_named(name) != nullptr;
}

Model named_model(const std::string& name) {
  Model model;
  const NamedConfig* named = find_named(name, &model.architecture);
  if (!named) {
    std::string names;
    for (const std::string& known : named_models()) names += (names.empty() ? "" : ", ") + known;
    fail<UserError>("model ", name, ": no such model; use ", names, " or the path of a config.json",
                    did_you_mean(name, named_models()));
  }
  model.path = name;
  model.where = "model " + name;
  model.configured = model.architecture->configure(named->config(), model.where, nullptr);
  return model;
}

Model model_of(const std::string& name_or_path) {
  if (is_named_model(name_or_path) || !std::filesystem::exists(name_or_path)) return named_model(name_or_path);
  return read_model(name_or_path);
}

ComponentFolders component_folders(Architectures among) {
  ComponentFolders folders;
  for (const Architecture* a : among) folders.emplace_back(a->folder);
  return folders;
}

}  // namespace ito
