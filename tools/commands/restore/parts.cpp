// SPDX-License-Identifier: Apache-2.0
// See parts.h. A part is named by the measurements in it, so that runs of other batches go on with each other's.
#include "tools/commands/restore/parts.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace ito {
namespace {

constexpr const char *kFolder = "parts", *kSettings = "settings.json";
constexpr const char *kSamples = "samples", *kMean = "mean", *kDeviation = "std";

std::string part_name(int64_t at, int64_t n) {
  return join_text("measurements-", at, "+", n, ".safetensors");
}

// Of the run's measurements; nothing for a file of another name.
std::optional<std::pair<int64_t, int64_t>> part_of(const std::string& name) {
  long long at = 0, n = 0;
  if (std::sscanf(name.c_str(), "measurements-%lld+%lld", &at, &n) != 2 || name != part_name(at, n))
    return std::nullopt;
  return std::pair<int64_t, int64_t>(at, n);
}

// Files of ours: those, and what a write that was ended left.
bool is_ours(const std::string& name) {
  return part_of(name) || name == kSettings || name.find(".partial") != std::string::npos;
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code none_there;
  for (const auto& item : std::filesystem::directory_iterator(folder, none_there))
    names.push_back(item.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

RestoredImages::RestoredImages(int64_t count_, int draws_, const ImageShape& image_, int64_t first_)
    : first(first_),
      count(count_),
      draws(draws_),
      image(image_),
      samples(static_cast<size_t>(count_ * draws_ * image_.size())),
      mean(static_cast<size_t>(count_ * image_.size())),
      deviation(mean.size()) {}

void RestoredImages::write(const std::string& path, int64_t at, int64_t n) const {
  const std::vector<int64_t> one{n, image.channels, image.height, image.width};
  const auto size = static_cast<size_t>(image.size());
  const auto rows = [&](const std::vector<float>& values, size_t width) {
    return std::span(values).subspan(static_cast<size_t>(at - first) * width, static_cast<size_t>(n) * width);
  };
  SafetensorsWriter writer;
  writer.add(kSamples, {n * draws, image.channels, image.height, image.width},
             rows(samples, static_cast<size_t>(draws) * size));
  writer.add(kMean, one, rows(mean, size));
  writer.add(kDeviation, one, rows(deviation, size));
  writer.write(path);
}

void RestoredImages::read(const std::string& path, int64_t at, int64_t n) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const auto read_rows = [&](const char* name, std::vector<float>& values, int64_t each) {
    file.check_shape(name, {n * each, image.channels, image.height, image.width});
    const auto width = static_cast<size_t>(each * image.size());
    file.read_f32_into(
        name, std::span(values).subspan(static_cast<size_t>(at - first) * width, static_cast<size_t>(n) * width));
  };
  read_rows(kSamples, samples, draws);
  read_rows(kMean, mean, 1);
  read_rows(kDeviation, deviation, 1);
}

RestoreParts::RestoreParts(const std::string& out, Json settings)
    : folder_(std::filesystem::path(out) / kFolder), settings_(std::move(settings)) {
  check_settings();
}

void RestoreParts::check_settings() const {
  const std::vector<std::string> names = names_in(folder_);
  const bool has_parts = std::any_of(names.begin(), names.end(), [](const auto& name) { return part_of(name); });
  if (!has_parts) return;
  const std::string path = (folder_ / kSettings).string();
  const std::string again = "; give what was given then to go on, or remove the folder to begin anew";
  ITO_USER_CHECK(std::filesystem::exists(path), folder_.string(), ": holds parts of a run but no ", kSettings,
                 "; remove the folder to begin anew");
  const Json stored = read_json_file(path);
  for (const auto& [key, value] : settings_.items()) {
    const Json was = stored.is_object() && stored.contains(key) ? stored[key] : Json();
    if (was == value) continue;
    ITO_USER_CHECK(key.starts_with("--"), folder_.string(), ": holds parts of a run that did not have the same ", key,
                   again);
    fail<UserError>(folder_.string(), ": holds parts of a run with ", key, " ", was.dump(), ", and now it is ",
                    value.dump(), again);
  }
}

std::vector<bool> RestoreParts::load(RestoredImages& images) const {
  std::vector<bool> there(static_cast<size_t>(images.count), false);
  for (const std::string& name : names_in(folder_)) {
    const auto part = part_of(name);
    if (!part) continue;
    const auto [at, n] = *part;
    ITO_USER_CHECK(at >= 0 && n >= 1 && at <= images.count && n <= images.count - at, (folder_ / name).string(),
                   ": is of no measurements of this run; remove the file");
    images.read((folder_ / name).string(), at, n);
    std::fill_n(there.begin() + at, n, true);
  }
  return there;
}

void RestoreParts::begin() const {
  std::filesystem::create_directories(folder_);
  write_json_file((folder_ / kSettings).string(), settings_);
}

void RestoreParts::add(const RestoredImages& images, int64_t at, int64_t n) const {
  images.write((folder_ / part_name(at, n)).string(), at, n);
}

void RestoreParts::read(RestoredImages& images, int64_t at, int64_t n) const {
  images.read((folder_ / part_name(at, n)).string(), at, n);
}

void RestoreParts::remove() const {
  std::error_code gone;  // what cannot be removed is no reason to fail when the final file stands
  // The settings last: parts without them belong to nobody.
  for (const std::string& name : names_in(folder_))
    if (is_ours(name) && name != kSettings) std::filesystem::remove(folder_ / name, gone);
  std::filesystem::remove(folder_ / kSettings, gone);
  std::filesystem::remove(folder_, gone);
}

}  // namespace ito
