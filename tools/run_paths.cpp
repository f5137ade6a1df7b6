// SPDX-License-Identifier: Apache-2.0
// See run_paths.h.
#include "tools/run_paths.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "engine/checkpoint/run_checkpoints.h"
#include "engine/data/file_pattern.h"
#include "engine/run/name_json.h"
#include "engine/run/run_folder.h"
#include "kernels/error.h"
#include "models/model.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

fs::path resolved(const fs::path& path) {
  std::error_code ignored;
  const fs::path whole = fs::weakly_canonical(fs::absolute(path, ignored), ignored);
  return whole.has_filename() ? whole : whole.parent_path();
}

// The data folder, and what symbolic links in it or in its sub-folders lead to.
std::vector<std::string> folders_of_data(const std::string& data) {
  constexpr int kDeepest = 1;  // train/class
  std::vector<std::string> folders{data};
  std::error_code error;
  for (fs::recursive_directory_iterator it(data, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it.depth() >= kDeepest) it.disable_recursion_pending();
    if (it->is_symlink(ignored) && it->is_directory(ignored)) folders.push_back(it->path().string());
  }
  return folders;
}

// The directory that relative names in a run's config.json hold from; nothing in one from before they were told.
std::optional<fs::path> beginning_of(const Json& config, const std::string& out) {
  std::error_code error;
  const std::optional<std::string> name = name_of_json(config.value(kStartedIn, Json()));
  const fs::path there = name ? fs::canonical(fs::path(out) / *name, error) : fs::path();
  if (!name || error) return {};
  return there;
}

// A name that held from `beginning`, from `here`; both are canonical. In full where a symbolic link before a `..` makes
// the parts of the path say something else than the path.
std::string name_from(const fs::path& here, const fs::path& beginning, const std::string& name) {
  const fs::path whole = beginning / name, normal = whole.lexically_normal();
  std::error_code ignored;
  return (fs::equivalent(whole, normal, ignored) ? normal.lexically_relative(here) : whole).string();
}

}  // namespace

bool is_inside(const std::string& path, const std::string& folder) {
  if (folder.empty()) return false;  // a model of a single file has none
  const fs::path inner = resolved(path), outer = resolved(folder);
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

void check_out_is_apart(const RunConfig& run) {
  std::error_code ignored;
  if (run.data == "fashion-mnist" || !fs::is_directory(run.data, ignored)) return;
  for (const std::string& folder : folders_of_data(run.data))
    ITO_USER_CHECK(!is_inside(run.out, folder), "--out ", run.out, ": is ", is_inside(folder, run.out) ? "" : "inside ",
                   "the folder of --data ", run.data,
                   ", and what the run writes would become data; choose a folder elsewhere");
}

void check_out_is_apart(const RunConfig& run, const Model& model) {
  std::error_code ignored;
  if (run.resume && fs::exists(fs::path(run.out) / "config.json", ignored)) return;
  const std::string& folder = model.files.directory;
  ITO_USER_CHECK(!is_inside(run.out, folder), "--out ", run.out, ": is the folder of the model, ", folder,
                 ", or in it; choose a folder elsewhere");
}

void find_named_files(RunConfig& run, const std::string& config_file, const std::vector<std::string>& keys) {
  const Json config = read_json_file(config_file);
  const std::optional<fs::path> beginning = beginning_of(config, run.out);
  std::error_code ignored;
  const fs::path here = fs::canonical(".", ignored);
  const bool in_checkpoint = newest_checkpoint(run.out, component_folders()).has_value();
  const std::pair<const char*, std::string*> names[] = {
      {"data", &run.data}, {"model", &run.model}, {"init", &run.init}, {"scheduler", &run.scheduler}};
  for (const auto& [key, name] : names) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end() || name->empty()) continue;
    if (key == std::string("data") && *name == "fashion-mnist") continue;
    if (key == std::string("model") && is_named_model(*name)) continue;
    const bool relative = fs::path(*name).is_relative();
    if (relative && beginning && *beginning != here && is_path_of_data((*beginning / *name).string())) {
      *name = name_from(here, *beginning, *name);
      continue;
    }
    if (in_checkpoint && key != std::string("data")) continue;
    ITO_USER_CHECK(is_path_of_data(*name), "--", key, " ", *name, ": no such file or folder; the name is from ",
                   config_file, relative ? " and holds from the directory where the run was started" : "",
                   relative && beginning ? ", " + beginning->string() : "", "; give --", key, " anew");
  }
}

}  // namespace ito
