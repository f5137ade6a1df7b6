// SPDX-License-Identifier: Apache-2.0
// See find_model.h. The component's folder wins, and the root is the fallback: the files of 2022 are flat.
#include "engine/checkpoint/find_model.h"

#include <algorithm>
#include <filesystem>

#include "engine/checkpoint/foreign_config.h"
#include "engine/checkpoint/names.h"
#include "engine/checkpoint/run_checkpoints.h"
#include "engine/checkpoint/weight_files.h"
#include "engine/io/input_file.h"
#include "engine/samplers/sampler.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

std::string first_existing(std::initializer_list<fs::path> candidates) {
  for (const fs::path& path : candidates)
    if (fs::exists(path)) return path.string();
  return {};
}

std::string read_latest(const fs::path& file) {
  const std::vector<uint8_t> bytes = read_whole_file(file.string(), 4096);
  std::string name(bytes.begin(), bytes.end());
  while (!name.empty() && (name.back() == '\n' || name.back() == '\r')) name.pop_back();
  ITO_USER_CHECK(is_name_of_file(name), file.string(), ": names ", quote_name(name),
                 ", expected the name of a checkpoint folder beside it");
  return name;
}

// FOLDER/config.json of each, for the message.
std::string config_paths(const ComponentFolders& folders) {
  std::string text;
  for (const std::string& folder : folders) text += (text.empty() ? "" : ", ") + folder + "/" + kConfigFile;
  return text;
}

// What `path` means as a run: the checkpoint that `latest` names or, where that is not whole, the newest one that is.
fs::path resolve_run(const fs::path& directory, const ComponentFolders& folders) {
  const fs::path latest = directory / kLatestFile;
  const bool has_latest = fs::exists(latest);
  const fs::path named = has_latest ? directory / read_latest(latest) : fs::path();
  if (has_latest && is_whole_model(named.string(), folders)) return named;
  if (const auto newest = newest_checkpoint(directory.string(), folders)) return newest->path;
  ITO_USER_CHECK(!has_latest || fs::is_directory(named), directory.string(), ": its file `latest` names ",
                 named.string(), ", which is not there");
  ITO_USER_CHECK(has_latest || !fs::exists(directory / kMetricsFile), directory.string(),
                 ": is a training run that has no whole checkpoint yet; wait for its first, or go on with it");
  return has_latest ? named : directory;
}

// What a single file can be that is given in the place of a model.
void check_is_config(const fs::path& file) {
  const std::string extension = file.extension().string();
  for (const char* pickle : {".bin", ".pt", ".pth", ".ckpt", ".pkl"})
    ITO_USER_CHECK(extension != pickle, file.string(),
                   ": a pickled checkpoint can run code when it is read and is not supported; save it as ",
                   kWeightsFile);
  ITO_USER_CHECK(extension != ".safetensors", file.string(),
                 ": holds tensors alone; give the folder of the model, which has their config.json too");
  ITO_USER_CHECK(file.filename() != kModelIndexFile, file.string(),
                 ": is the index of a model's parts; give the folder that it is in");
  ITO_USER_CHECK(extension == ".json", file.string(),
                 ": is a file; expected the folder of a run, a checkpoint or a model, or a config.json");
}

// The folder around one, "" at the root.
fs::path parent_of(const fs::path& folder) {
  fs::path whole = fs::absolute(folder).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  return whole.parent_path();
}

}  // namespace

ModelFiles find_model(const std::string& path, const ComponentFolders& folders) {
  fs::path directory(path);
  ITO_USER_CHECK(fs::exists(directory), path, ": no such file or folder; expected a run, a checkpoint or a model");
  ModelFiles files;
  if (!fs::is_directory(directory)) {
    check_is_config(directory);
    files.config = path;
    return files;
  }
  directory = resolve_run(directory, folders);
  files.directory = directory.string();
  for (const std::string& folder : folders)
    if (files.config.empty() && fs::exists(directory / folder / kConfigFile)) {
      files.folder = folder;
      files.config = (directory / folder / kConfigFile).string();
    }
  if (files.config.empty()) files.config = first_existing({directory / kConfigFile});
  if (files.config.empty()) check_no_adapter(files.directory);
  ITO_USER_CHECK(!files.config.empty(), files.directory, ": found neither ", config_paths(folders),
                 " nor config.json; expected a diffusers model or a training run");
  const fs::path beside = fs::path(files.config).parent_path();
  files.weights = find_weights(beside.string());
  if (files.weights.empty() && beside != directory) files.weights = find_weights(files.directory);
  files.scheduler = first_existing({directory / kSchedulerFolder / kSchedulerFile, directory / kSchedulerFile});
  files.class_names = first_existing({directory / kClassNamesFile});
  files.latents = first_existing({directory / kLatentsFile});
  files.statistics = first_existing({directory / kStatisticsFile});
  if (files.folder.empty()) {  // a component's folder alone: what is around it is the pipeline that it came from
    const fs::path around = parent_of(directory);
    if (files.scheduler.empty()) files.scheduler = first_existing({around / kSchedulerFolder / kSchedulerFile});
    if (files.statistics.empty()) files.statistics = first_existing({around / kStatisticsFile});
    if (files.latents.empty()) files.latents = first_existing({around / kLatentsFile});
    if (files.class_names.empty()) files.class_names = first_existing({around / kClassNamesFile});
  }
  files.kernels = first_existing({directory / kKernelsFile});
  files.state = first_existing({directory / kTrainingStateFile});
  return files;
}

void take_average(ModelFiles& files, const std::string& name) {
  const fs::path folder = fs::path(files.config).parent_path(), wanted = folder / average_file(name);
  std::vector<std::string> names;
  std::error_code ignored;
  const std::string around = average_file("/");  // what stands before and behind a name
  const std::string before = around.substr(0, around.find('/')), behind = around.substr(around.find('/') + 1);
  for (const auto& item : fs::directory_iterator(folder, ignored)) {
    const std::string file = item.path().filename().string();
    if (file.size() > before.size() + behind.size() && file.starts_with(before) && file.ends_with(behind))
      names.push_back(file.substr(before.size(), file.size() - before.size() - behind.size()));
  }
  std::sort(names.begin(), names.end());
  const bool is_there = std::find(names.begin(), names.end(), name) != names.end();
  ITO_USER_CHECK(is_there, folder.string(), ": has no average ", quote_name(name), " beside the model's weights; ",
                 names.empty() ? "there is none" : "use one of " + list_names(names));
  files.weights = wanted.string();
}

SchedulerConfig read_scheduler(const ModelFiles& files) {
  if (files.scheduler.empty()) {
    if (!files.weights.empty())
      warn(files.directory, ": has no ", kSchedulerFile,
           "; taking DDPMScheduler's defaults (1000 steps, linear betas from 0.0001 to 0.02, epsilon)");
    return {};
  }
  const Json json = read_python_json_file(files.scheduler);
  check_is_scheduler(json, files.scheduler);
  std::vector<std::string> warnings;
  const SchedulerConfig config = read_scheduler_config(json, files.scheduler, warnings);
  for (const std::string& warning : warnings) warn(warning);
  return config;
}

}  // namespace ito
