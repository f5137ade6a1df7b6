// SPDX-License-Identifier: Apache-2.0
// See weight_files.h. The names are those that diffusers' save_pretrained gives.
#include "engine/checkpoint/weight_files.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "engine/checkpoint/names.h"
#include "engine/io/input_file.h"
#include "engine/io/json_file.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStem = "diffusion_pytorch_model", kTensors = ".safetensors", kIndex = ".index";

bool is_index(const std::string& path) {
  return path.ends_with(".json");
}

// A shard's number in its name: -00001-of-00002
bool is_shard(std::string_view name) {
  const size_t of = name.find("-of-");
  return of != std::string_view::npos && of >= 6 && name[of - 6] == '-';
}

bool is_pickle(std::string_view name) {
  return name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth") || name.ends_with(".ckpt");
}

// The weights that a folder's names speak of, besides the file of the usual name.
struct Listed {
  std::vector<std::string> whole, shards, pickles;  // whole: files and indices of variants, and the index itself
};

Listed list_weights(const std::string& folder) {
  Listed listed;
  std::error_code ignored;
  for (const auto& item : fs::directory_iterator(folder, ignored)) {
    const std::string name = item.path().filename().string();
    if (!name.starts_with(kStem)) continue;
    if (is_pickle(name))
      listed.pickles.push_back(name);
    else if (is_index(name) && name.find(kIndex) != std::string::npos && name.find(kTensors) != std::string::npos)
      listed.whole.push_back(name);
    else if (name.ends_with(kTensors))
      (is_shard(name) ? listed.shards : listed.whole).push_back(name);
  }
  std::sort(listed.whole.begin(), listed.whole.end());
  std::sort(listed.shards.begin(), listed.shards.end());
  return listed;
}

}  // namespace

WeightFiles WeightFiles::open(const std::string& path) {
  WeightFiles weights;
  weights.path_ = path;
  if (!is_index(path)) {
    weights.files_.push_back(SafetensorsFile::open(path));
    for (const std::string& name : weights.files_[0].names()) weights.file_of_[name] = 0;
    return weights;
  }
  const Json index = read_python_json_file(path);
  const Json map = index.is_object() ? index.value("weight_map", Json()) : Json();
  ITO_USER_CHECK(map.is_object() && !map.empty(), path,
                 ": has no weight_map of tensors and their files; expected the index of a model in shards");
  std::map<std::string, size_t> files;  // by name
  for (const auto& [tensor, shard] : map.items()) {
    const std::string name = shard.is_string() ? shard.get<std::string>() : "";
    ITO_USER_CHECK(is_name_of_file(name), path, ": weight_map: ", quote_name(tensor), " is in ",
                   printable(shard.dump(), 60), "; expected the name of a file beside the index");
    if (files.emplace(name, files.size()).second)
      weights.files_.push_back(SafetensorsFile::open((fs::path(path).parent_path() / name).string()));
    const SafetensorsFile& file = weights.files_[files.at(name)];
    ITO_USER_CHECK(file.has(tensor), file.path(), ": tensor ", quote_name(tensor), " is not in it, though ", path,
                   " says so");
    weights.file_of_[tensor] = files.at(name);
  }
  for (const SafetensorsFile& file : weights.files_)
    for (const std::string& tensor : file.names())
      ITO_USER_CHECK(weights.has(tensor), file.path(), ": tensor ", quote_name(tensor), " is in it, though not in ",
                     path);
  return weights;
}

std::vector<std::string> WeightFiles::names() const {
  std::vector<std::string> all;
  for (const auto& [name, file] : file_of_) all.push_back(name);
  return all;
}

std::string find_weights(const std::string& folder) {
  const auto in_folder = [&](const std::string& name) { return (fs::path(folder) / name).string(); };
  if (fs::exists(in_folder(kWeightsFile))) return in_folder(kWeightsFile);
  const Listed listed = list_weights(folder);
  const std::string index = std::string(kWeightsFile) + ".index.json";
  if (std::find(listed.whole.begin(), listed.whole.end(), index) != listed.whole.end()) return in_folder(index);
  ITO_USER_CHECK(listed.whole.size() <= 1, folder, ": has no ", kWeightsFile, ", but several variants of it (",
                 list_names(listed.whole), "); rename the one to use");
  if (listed.whole.size() == 1) {
    warn(in_folder(listed.whole[0]), ": is read, since there is no ", kWeightsFile, " beside it");
    return in_folder(listed.whole[0]);
  }
  ITO_USER_CHECK(listed.shards.empty(), folder, ": has shards of a model (", list_names(listed.shards), ") but not ",
                 index, ", which says what is in them");
  ITO_USER_CHECK(listed.pickles.empty(), in_folder(listed.pickles[0]),
                 ": a pickled checkpoint can run code when it is read and is not supported; save it as ", kWeightsFile);
  return "";
}

}  // namespace ito
