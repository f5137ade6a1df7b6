// SPDX-License-Identifier: Apache-2.0
// See directory.h. A folder is written under another name and gets its own once every file is on the disk.
#include "engine/checkpoint/directory.h"

#include <filesystem>

#include "engine/checkpoint/kernel_table_file.h"
#include "engine/checkpoint/names.h"
#include "engine/checkpoint/weights.h"
#include "engine/io/atomic_file.h"
#include "engine/io/atomic_folder.h"
#include "kernels/error.h"
#include "kernels/seams/comm.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

// The class that diffusers is to open the folder with; of a network that it does not have, the general one.
const char* pipeline_of(const Component& component, const SchedulerConfig& scheduler) {
  if (component.library != Component{}.library) return "DiffusionPipeline";
  return scheduler.class_name == "DDPMScheduler" ? "DDPMPipeline" : "DDIMPipeline";
}

}  // namespace

void write_model(const std::string& directory, const Component& component, const SchedulerConfig& scheduler,
                 const ParameterLayout& layout, const std::vector<float>& weights, const TrainingSnapshot* snapshot,
                 const LevelStatistics* statistics) {
  write_model(directory, component, scheduler, layout, ArenaPart{0, weights}, snapshot, statistics, nullptr);
}

void write_model(const std::string& directory, const Component& component, const SchedulerConfig& scheduler,
                 const ParameterLayout& layout, const ArenaPart& weights, const TrainingSnapshot* snapshot,
                 const LevelStatistics* statistics, Communicator* ranks) {
  const fs::path temporary = directory + ".partial";
  const auto write_arenas = [&] {
    if (!layout.all().empty())
      write_weights((temporary / component.folder / kWeightsFile).string(), layout, weights, ranks);
    for (const KeptAverage& average : snapshot ? snapshot->averages : std::vector<KeptAverage>())
      write_weights((temporary / component.folder / average_file(average.name)).string(), layout, average.weights,
                    ranks);
    if (snapshot) write_snapshot((temporary / kTrainingStateFile).string(), layout, *snapshot, ranks);
  };
  if (ranks && ranks->rank() > 0) return write_arenas();
  std::error_code ignored;
  try {
    fs::remove_all(temporary);
    fs::create_directories(temporary / component.folder);
    fs::create_directories(temporary / kSchedulerFolder);
    write_json_file((temporary / kModelIndexFile).string(),
                    {{"_class_name", pipeline_of(component, scheduler)},
                     {"_diffusers_version", kDiffusersVersion},
                     {kSchedulerFolder, {"diffusers", scheduler.class_name}},
                     {component.folder, {component.library, component.class_name}}});
    write_json_file((temporary / component.folder / kConfigFile).string(), component.config);
    write_json_file((temporary / kSchedulerFolder / kSchedulerFile).string(), scheduler_config_json(scheduler));
    if (!component.class_names.empty())
      write_json_file((temporary / kClassNamesFile).string(), Json(component.class_names));
    if (component.latents) write_json_file((temporary / kLatentsFile).string(), json_of(*component.latents));
    for (const auto& [name, content] : component.beside) write_json_file((temporary / name).string(), content);
    write_arenas();
    if (statistics) write_json_file((temporary / kStatisticsFile).string(), json_of(*statistics));
    if (snapshot && !snapshot->kernel_table.choices.empty())
      write_json_file((temporary / kKernelsFile).string(), json_of(snapshot->kernel_table));
    put_folder_in_place(temporary, directory);
  } catch (const fs::filesystem_error& e) {
    fs::remove_all(temporary, ignored);
    fail<UserError>(directory, ": cannot be written: ", e.code().message(),
                    "; choose another folder or free some space");
  } catch (...) {
    fs::remove_all(temporary, ignored);
    throw;
  }
}

void write_latest(const std::string& out, const std::string& name) {
  write_file_atomically((fs::path(out) / kLatestFile).string(), name + "\n");
}

}  // namespace ito
