// SPDX-License-Identifier: Apache-2.0
// See find_model.h. The component's folder wins, and the root is the fallback: the files of 2022 are flat.
#include "engine/checkpoint/find_model.h"

#include <filesystem>

#include "engine/checkpoint/names.h"
#include "engine/checkpoint/run_checkpoints.h"
#include "engine/io/input_file.h"
#include "engine/samplers/sampler.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPickle = "diffusion_pytorch_model.bin";
constexpr const char* kPickleIsRefused =
    ": a pickled checkpoint can run code when it is read and is not supported; save it as "
    "diffusion_pytorch_model.safetensors";

std::string first_existing(std::initializer_list<fs::path> candidates) {
  for (const fs::path& path : candidates)
    if (fs::exists(path)) return path.string();
  return {};
}

std::string read_latest(const fs::path& file) {
  const std::vector<uint8_t> bytes = read_whole_file(file.string(), 4096);
  std::string name(bytes.begin(), bytes.end());
  while (!name.empty() && (name.back() == '\n' || name.back() == '\r')) name.pop_back();
  ITO_USER_CHECK(!name.empty() && name.find('/') == std::string::npos, file.string(), ": names ", quote_name(name),
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
  return has_latest ? named : directory;
}

}  // namespace

ModelFiles find_model(const std::string& path, const ComponentFolders& folders) {
  fs::path directory(path);
  ITO_USER_CHECK(fs::exists(directory), path, ": no such file or folder; expected a run, a checkpoint or a model");
  ModelFiles files;
  if (!fs::is_directory(directory)) {
    ITO_USER_CHECK(directory.extension() != ".bin", path, kPickleIsRefused);
    ITO_USER_CHECK(directory.extension() == ".json", path,
                   ": is a file; expected the folder of a run, a checkpoint or a model, or a config.json");
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
  ITO_USER_CHECK(!files.config.empty(), files.directory, ": found neither ", config_paths(folders),
                 " nor config.json; expected a diffusers model or a training run");
  const fs::path beside = fs::path(files.config).parent_path();
  files.weights = first_existing({beside / kWeightsFile, directory / kWeightsFile});
  files.scheduler = first_existing({directory / kSchedulerFolder / kSchedulerFile, directory / kSchedulerFile});
  files.state = first_existing({directory / kTrainingStateFile});
  ITO_USER_CHECK(!files.weights.empty() || !fs::exists(beside / kPickle), (beside / kPickle).string(),
                 kPickleIsRefused);
  return files;
}

SchedulerConfig read_scheduler(const ModelFiles& files) {
  if (files.scheduler.empty()) return {};
  std::vector<std::string> warnings;
  const SchedulerConfig config =
      read_scheduler_config(read_python_json_file(files.scheduler), files.scheduler, warnings);
  for (const std::string& warning : warnings) warn(warning);
  return config;
}

}  // namespace ito
