// SPDX-License-Identifier: Apache-2.0
// See model.h. The only place that goes through the list of architectures.
#include "models/model.h"

#include <algorithm>
#include <filesystem>

#include "engine/checkpoint/foreign_config.h"
#include "engine/checkpoint/names.h"
#include "engine/io/input_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

const Architecture& architecture_of(const Json& config, const ModelFiles& files, Architectures all) {
  ITO_USER_CHECK(config.is_object(), files.config, ": found ", config.type_name(),
                 ", expected a JSON object of settings");
  std::string names, keys;
  for (const Architecture* a : all) {
    if (config.contains("_class_name") ? config["_class_name"] == a->class_name
                                       : a->telling_key && config.contains(a->telling_key))
      return *a;
    names += (names.empty() ? "" : ", ") + std::string(a->class_name);
    if (a->telling_key) keys += std::string(" nor ") + a->telling_key;
  }
  const std::string foreign = foreign_config(config);
  ITO_USER_CHECK(foreign.empty(), files.config, ": is no network's configuration but ", foreign);
  ITO_USER_CHECK(config.contains("_class_name"), files.config, ": has neither _class_name", keys,
                 ", so it is no network's configuration");
  fail<UserError>(files.config, ": _class_name is ", printable(config["_class_name"].dump(), 60),
                  ", which is not implemented; use ", names);
}

// What a pipeline has besides the network and its scheduler: [library, class] by the name of its folder. Where the
// network's files lie flat beside the list, no folder tells which part it is, but its class does.
std::string other_parts(const Json& index, const std::string& folder, const Architecture& network) {
  std::string parts;
  for (const auto& [key, value] : index.items()) {
    const bool is_part = value.is_array() && value.size() == 2 && value[1].is_string();
    if (key.starts_with('_') || key == folder || key == kSchedulerFolder || !is_part) continue;
    if (folder.empty() && value[1] == network.class_name) continue;
    parts += (parts.empty() ? "" : ", ") + printable(key, 60) + " (" + printable(value[1].get<std::string>(), 60) + ")";
  }
  return parts;
}

// What stands beside the network and changes the meaning of what it draws, or is what its owner may have meant.
void tell_of_neighbours(const ModelFiles& files, const Architecture& network) {
  const std::filesystem::path directory(files.directory);
  if (const std::string path = (directory / kModelIndexFile).string(); std::filesystem::exists(path)) {
    const Json index = read_python_json_file(path);
    ITO_USER_CHECK(index.is_object(), path, ": found ", index.type_name(),
                   ", expected a JSON object of a model's parts");
    if (const std::string parts = other_parts(index, files.folder, network); !parts.empty())
      warn(path, ": the pipeline ", printable(index.value("_class_name", Json()).dump(), 60), " has ", parts,
           " beside the network, which is not run; what the network draws are its latents, not images");
  }
  const std::string averaged = (directory / (files.folder + "_ema")).string();
  if (!files.folder.empty() && std::filesystem::is_directory(averaged))
    warn(averaged, ": holds averaged weights; those of ", files.folder, " are read: give that folder to use it");
}

std::vector<std::string> read_class_names(const std::string& path) {
  if (path.empty()) return {};
  const Json names = read_json_file(path);
  const bool fits =
      names.is_array() && std::all_of(names.begin(), names.end(), [](const Json& n) { return n.is_string(); });
  ITO_USER_CHECK(fits, path, ": found ", printable(names.dump(), 60), ", expected a list of names");
  return names.get<std::vector<std::string>>();
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
  return {architecture->folder, architecture->class_name, configured.config,
          class_names,          architecture->library,    latents};
}

Component Model::component(int height, int width) const {
  return {architecture->folder, architecture->class_name, configured.config_for(height, width),
          class_names,          architecture->library,    latents};
}

const std::string& Model::weights_file() const {
  ITO_USER_CHECK(!files.weights.empty(), path, ": found no weights; expected ", kWeightsFile, " in it or in its ",
                 architecture->folder, " folder");
  return files.weights;
}

SchedulerConfig Model::scheduler() const {
  return files.scheduler.empty() && configured.scheduler ? *configured.scheduler : read_scheduler(files);
}

Model read_model(const std::string& path, Architectures among) {
  Model model;
  model.path = path;
  model.files = find_model(path, component_folders(among));
  model.where = model.files.config;
  const Json config = read_python_json_file(model.files.config);
  model.architecture = &architecture_of(config, model.files, among);
  std::vector<std::string> warnings;
  model.configured = model.architecture->configure(config, model.where, &warnings);
  for (const std::string& warning : warnings) warn(warning);
  tell_of_neighbours(model.files, *model.architecture);
  model.class_names = read_class_names(model.files.class_names);
  if (!model.files.latents.empty())
    model.latents =
        latent_scale_of(read_json_file(model.files.latents), model.files.latents, model.configured.image.channels);
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

Model with_variance_outputs(Model model) {
  if (!model.files.config.empty() || !model.architecture->with_variance) return model;
  const Json wider = model.architecture->with_variance(model.configured.config);
  model.configured = model.architecture->configure(wider, model.where, nullptr);
  return model;
}

Model model_of(const std::string& name_or_path) {
  if (is_named_model(name_or_path) || !std::filesystem::exists(name_or_path)) return named_model(name_or_path);
  return read_model(name_or_path);
}

void check_outputs(const Network& network, const SchedulerConfig& scheduler, const std::string& where) {
  const int channels = network.image.channels;
  const int expected = channels * (scheduler.variance_type == VarianceType::LearnedRange ? 2 : 1);
  ITO_USER_CHECK(network.out_channels == expected, where, ": out_channels is ", network.out_channels, " for ", channels,
                 " in_channels; variance_type ", name_of(scheduler.variance_type), " expects ", expected);
}

ComponentFolders component_folders(Architectures among) {
  ComponentFolders folders;
  for (const Architecture* a : among)
    if (std::find(folders.begin(), folders.end(), a->folder) == folders.end()) folders.emplace_back(a->folder);
  return folders;
}

}  // namespace ito
