// SPDX-License-Identifier: Apache-2.0
// See ema_snapshots.h.
#include "engine/run/ema_snapshots.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <tuple>

#include "engine/checkpoint/weights.h"
#include "engine/io/atomic_folder.h"
#include "engine/ranks/shared_file.h"
#include "engine/training/power_ema.h"
#include "kernels/error.h"

namespace ito {
namespace {

namespace fs = std::filesystem;

constexpr const char *kWidth = "sigma_rel", *kUpdates = "updates";

std::string folder_name(int64_t step) {
  return fmt::format("ema-{:06}", step);
}

// The steps of a run's snapshots, with their folders.
std::vector<std::pair<int64_t, fs::path>> snapshot_folders(const std::string& out) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code error;
  for (fs::directory_iterator it(out, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    int64_t step = 0;
    std::from_chars(name.data() + std::min<size_t>(4, name.size()), name.data() + name.size(), step);
    if (name == folder_name(step)) found.emplace_back(step, it->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

template <class T>
T number_of(const SafetensorsFile& file, const char* key, double least, double most) {
  const auto at = file.metadata().find(key);
  T number{};
  const std::string text = at == file.metadata().end() ? "" : at->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool fits = error == std::errc() && end == text.data() + text.size() && static_cast<double>(number) >= least &&
                    static_cast<double>(number) <= most;
  ITO_USER_CHECK(fits, file.path(), ": its metadata have ", key, " ", quote_name(text),
                 ", expected a snapshot of an average as training writes it");
  return number;
}

}  // namespace

void write_ema_snapshot(const std::string& out, int64_t step, int64_t updates, const ParameterLayout& layout,
                        const std::vector<SnapshotAverage>& averages, Communicator* ranks) {
  if (updates == 0) return;  // an average of nothing
  const fs::path folder = fs::path(out) / folder_name(step), temporary = folder.string() + ".partial";
  const auto write_averages = [&] {
    for (const SnapshotAverage& average : averages) {
      SafetensorsWriter writer;
      add_arena(writer, "", layout, average.weights, false);
      writer.set_metadata(kWidth, fmt::format("{}", average.sigma_rel));
      writer.set_metadata(kUpdates, std::to_string(updates));
      const std::string path = (temporary / fmt::format("sigma-rel-{}.safetensors", average.sigma_rel)).string();
      ranks ? write_together(writer, path, *ranks) : writer.write(path);
    }
  };
  if (ranks && ranks->rank() > 0) return write_averages();
  std::error_code ignored;
  try {
    fs::remove_all(temporary);
    fs::create_directories(temporary);
    write_averages();
    put_folder_in_place(temporary, folder);
  } catch (const fs::filesystem_error& e) {
    fs::remove_all(temporary, ignored);
    fail<UserError>(folder.string(), ": cannot be written: ", e.code().message(),
                    "; choose another folder or free some space");
  } catch (...) {
    fs::remove_all(temporary, ignored);
    throw;
  }
}

std::vector<FoundAverage> find_ema_snapshots(const std::string& out) {
  std::vector<FoundAverage> found;
  for (const auto& [step, folder] : snapshot_folders(out))
    for (const auto& item : fs::directory_iterator(folder)) {
      if (item.path().extension() != ".safetensors") continue;
      const SafetensorsFile file = SafetensorsFile::open(item.path().string());
      found.push_back({.path = file.path(),
                       .step = step,
                       .updates = number_of<int64_t>(file, kUpdates, 1, 0x1p53),
                       .sigma_rel = number_of<double>(file, kWidth, kLeastWidth, kMostWidth)});
    }
  std::sort(found.begin(), found.end(), [](const FoundAverage& a, const FoundAverage& b) {
    return std::tie(a.step, a.sigma_rel) < std::tie(b.step, b.sigma_rel);
  });
  return found;
}

void remove_ema_snapshots_past(const std::string& out, int64_t step) {
  for (const auto& [of, folder] : snapshot_folders(out))
    if (of > step) remove_folder(folder);
}

}  // namespace ito
