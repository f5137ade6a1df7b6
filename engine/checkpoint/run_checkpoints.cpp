// SPDX-License-Identifier: Apache-2.0
// See run_checkpoints.h. A checkpoint gets its name only once it is on the disk whole, so the checks here are for
// folders that were copied by hand, cut short by a full disk elsewhere, or edited.
#include "engine/checkpoint/run_checkpoints.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <vector>

#include "engine/checkpoint/names.h"
#include "engine/io/atomic_folder.h"
#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

// Sorted by step, newest first.
std::vector<FoundCheckpoint> checkpoints_of(const std::string& out) {
  std::vector<FoundCheckpoint> found;
  std::error_code error;
  for (fs::directory_iterator it(out, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const size_t dash = name.find('-');
    if (dash == std::string::npos) continue;
    int64_t step = 0;
    std::from_chars(name.data() + dash + 1, name.data() + name.size(), step);
    if (name == checkpoint_name(step)) found.push_back({step, it->path().string()});
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.step > b.step; });
  return found;
}

// The header of a safetensors file says how long the file must be; opening it compares.
bool is_whole_file(const fs::path& path) {
  if (!fs::is_regular_file(path)) return false;
  try {
    SafetensorsFile::open(path.string());
    return true;
  } catch (const Error&) {
    return false;
  }
}

bool has_all_of_training(const fs::path& checkpoint, const ComponentFolders& folders) {
  return is_whole_model(checkpoint.string(), folders) && fs::is_regular_file(checkpoint / kModelIndexFile) &&
         fs::is_regular_file(checkpoint / kSchedulerFolder / kSchedulerFile) &&
         is_whole_file(checkpoint / kTrainingStateFile);
}

}  // namespace

bool is_whole_model(const std::string& directory, const ComponentFolders& folders) {
  return std::any_of(folders.begin(), folders.end(), [&](const std::string& folder) {
    const fs::path component = fs::path(directory) / folder;
    return fs::is_regular_file(component / kConfigFile) && is_whole_file(component / kWeightsFile);
  });
}

std::optional<FoundCheckpoint> newest_checkpoint(const std::string& out, const ComponentFolders& folders) {
  for (const FoundCheckpoint& checkpoint : checkpoints_of(out))
    if (has_all_of_training(checkpoint.path, folders)) return checkpoint;
  return {};
}

void prune_checkpoints(const std::string& out, int64_t newest, int64_t keep_last, int64_t keep_every) {
  if (keep_last == 0) return;
  int64_t seen = 0;
  for (const FoundCheckpoint& checkpoint : checkpoints_of(out)) {
    if (checkpoint.step > newest || ++seen <= std::max<int64_t>(keep_last, 1)) continue;
    if (keep_every == 0 || checkpoint.step % keep_every != 0) remove_folder(checkpoint.path);
  }
}

void remove_leftovers(const std::string& out) {
  std::vector<fs::path> doomed;
  std::error_code error;
  for (fs::directory_iterator it(out, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const size_t mark = name.find(".partial");
    if (mark == std::string::npos) continue;
    const std::string whole = name.substr(0, mark);
    for (const char* ours : {"checkpoint-", "ema-", "samples-", kConfigFile, kLatestFile, "loss.svg"})
      if (whole.starts_with(ours)) doomed.push_back(it->path());
  }
  for (const fs::path& path : doomed) fs::remove_all(path);
}

}  // namespace ito
